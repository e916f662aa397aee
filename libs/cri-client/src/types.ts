import type { DeepPartial } from '@stowage/cri-proto';
import type { CriVersion } from '@stowage/cri-proto/paths';
import type { ImageMethods } from './image-rules';
import type { RequestOf, ResponseOf } from './method-rules';
import type { RuntimeMethods } from './runtime-rules';

export type { CriVersion };

/** Which of the two services of a runtime a client speaks to. */
export type CriServiceName = 'runtime' | 'image';

export interface CriClientOptions {
  /**
   * For example `unix:///run/containerd/containerd.sock`; kubelet's rules, see
   * {@link parseEndpoint}.
   */
  readonly endpoint: string;
  /**
   * Time limit of ordinary calls in milliseconds, kubelet's runtimeRequestTimeout; 120000 when not
   * given.
   */
  readonly timeoutMs?: number;
  /**
   * `v1` for kubelet 1.26 and newer: a runtime without v1 is unavailable. `v1-or-v1alpha2` (the
   * default), as kubelet 1.23 to 1.25: a runtime that answers UNIMPLEMENTED is called in v1alpha2,
   * and unavailable if it does not implement that either.
   */
  readonly versions?: 'v1' | 'v1-or-v1alpha2';
  /**
   * Make list calls through their streaming variants (kubelet's CRIListStreaming), so that no list
   * is too long for a message. A runtime without them costs one extra call a connection. Default
   * false, as in kubelet.
   */
  readonly listStreaming?: boolean;
  /** Notified of every call, for logs, metrics and traces; see {@link combineObservers}. */
  readonly observer?: CriCallObserver;
  /**
   * Milliseconds since 1970, for the times in {@link RuntimeAvailability}; `Date.now` when not
   * given.
   */
  now?(): number;
}

export interface CriCallOptions {
  /**
   * Cancels the call, at the runtime too. The call then fails with CancelledError, or the reason if
   * that is coded.
   */
  readonly signal?: AbortSignal;
  /** Ends the call earlier than kubelet's limit for it, in milliseconds; more than 0. */
  readonly timeoutMs?: number;
  /** Request headers sent along, lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Called once the bytes of the request of a unary call have left: what takes long is done there
   * rather than before. Not called when there is no connection, or when the call ends first. Must
   * not throw.
   */
  onSent?(): void;
}

export interface CriStreamOptions extends Omit<CriCallOptions, 'onSent'> {
  /**
   * Called once the request is on its way on a live connection: what happens from now on is in the
   * stream.
   */
  onStarted?(): void;
}

/** Whether the runtime can be called now. */
export interface RuntimeAvailability {
  readonly available: boolean;
  /**
   * When this state began. For a lost connection: when it was lost, not the first failed attempt
   * after it.
   */
  readonly since: Date;
  /** Why it is not available, in one line. */
  readonly reason?: string;
  /** Package used on the current connection. */
  readonly version?: CriVersion;
  /** Number of connections made so far. When it rises, state of the runtime may have changed. */
  readonly connections: number;
}

/** What every client has in addition to its calls. */
export interface CriConnectionView {
  /** The endpoint as it was given. */
  readonly endpoint: string;
  availability(): RuntimeAvailability;
  /**
   * Calls the listener after each change, also when a lost connection was replaced at once
   * (`connections` rises). Returns a function that removes the listener. A listener that throws
   * affects nobody else.
   */
  onAvailability(listener: (availability: RuntimeAvailability) => void): () => void;
  /**
   * Resolves when the runtime is available, at once if it is. Rejects with the signal's reason, or
   * when closed.
   */
  whenAvailable(options?: { signal?: AbortSignal }): Promise<void>;
  /** Ends all calls and the connection; calls made after it fail. Can be called again. */
  close(): void;
}

/**
 * The calls of a service: a promise for each unary method, an async iterable for each that streams.
 */
export type CriCalls<Methods> = {
  readonly [Name in keyof Methods]: Methods[Name] extends { responseStream: true }
    ? (
        request?: DeepPartial<RequestOf<Methods[Name]>>,
        options?: CriStreamOptions,
      ) => AsyncIterable<ResponseOf<Methods[Name]>>
    : (
        request?: DeepPartial<RequestOf<Methods[Name]>>,
        options?: CriCallOptions,
      ) => Promise<ResponseOf<Methods[Name]>>;
};

/** Every call of CRI's RuntimeService. */
export interface RuntimeServiceClient extends CriCalls<RuntimeMethods>, CriConnectionView {}

/** Every call of CRI's ImageService. */
export interface ImageServiceClient extends CriCalls<ImageMethods>, CriConnectionView {}

/** One call, as an observer sees it. Never contains the request, which can carry secrets. */
export interface CriCall {
  readonly service: CriServiceName;
  /** Wire name, for example `ContainerStatus`. */
  readonly method: string;
  /** Kubelet's label for the call, for example `container_status`. A closed set. */
  readonly operation: string;
  /** Container or sandbox that the call is about, if any. */
  readonly objectId?: string;
  readonly endpoint: string;
}

export interface CriCallOutcome {
  readonly durationMs: number;
  /** What the caller got thrown; absent on success. */
  readonly error?: unknown;
}

/**
 * Notified of each call: once before it is made, once when it has ended. What it throws is ignored.
 */
export interface CriCallObserver {
  callStarted(call: CriCall): CriCallSpan | undefined;
}

export interface CriCallSpan {
  /** Request headers to send along, such as `traceparent`. */
  readonly headers?: Readonly<Record<string, string>>;
  ended?(outcome: CriCallOutcome): void;
}
