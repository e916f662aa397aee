import net from 'node:net';
import { errorMessage, ShuttingDownError } from '@stowage/errors';
import { connectUnix } from './connect-unix';
import { IdleWait } from './idle-wait';
import { ConnectionReader, defaultReaderLimits, type ReaderLimits } from './connection-reader';
import { listenUnix } from './listen-unix';
import { notify } from './notify';
import { RequestRewriter } from './request-rewriter';
import { PipedConnection } from './piped-connection';
import { ReadBuffer } from './read-buffer';
import type {
  CallListener,
  DetachReason,
  Endpoint,
  EndpointStats,
  ListenOptions,
  MessageObserver,
} from './types';
import { UnavailableConnection, type RuntimeState } from './unavailable-connection';

/** Paths to ask the runtime for instead of the client's. */
export interface PathChanges {
  /** The path to ask for; what it throws leaves the path as it is. */
  path(path: string): string;
  /**
   * Paths that do not begin with this are never changed. If it is given, header blocks are decoded
   * only from the first such path on.
   */
  readonly prefix?: string;
}

/** What {@link createPipedEndpoint} joins its clients to, and what it reports. */
export interface PipedEndpointOptions extends ListenOptions {
  /** Socket path of the runtime. */
  readonly upstreamPath: string;
  /** Reads the messages of the calls that it observes. */
  readonly observer?: MessageObserver;
  /** Notified of every call, without its messages. */
  readonly calls?: CallListener;
  /**
   * Called when a connection is joined. Undefined, the default, leaves every byte of the connection
   * as it is; else header blocks of the client are held until they are complete, and re-encoded
   * once a path was changed.
   */
  rewritePaths?(): PathChanges | undefined;
  /**
   * Text of UNAVAILABLE when the runtime does not answer, or undefined for the socket's own error.
   */
  unavailableReason(): string | undefined;
  /** The reader has detached from a connection; its bytes still flow. */
  onDetached?(reason: DetachReason, detail: string): void;
  /** Largest message that is reassembled for {@link observer}; default 1 MiB. */
  readonly maxObservedMessageBytes?: number;
  /**
   * Name of this service in the status of calls that its closing interrupts; default `endpoint`.
   */
  readonly service?: string;
}

function rewriterFor(
  changes: PathChanges | undefined,
  reader: ConnectionReader,
  limits: ReaderLimits,
): RequestRewriter | undefined {
  if (changes === undefined) return undefined;
  const { prefix } = changes;
  const onSight =
    prefix === undefined ? undefined : { prefix, decoder: () => reader.requestDecoder() };
  return new RequestRewriter(changes, limits, onSight);
}

/** How often clients without a runtime are checked for a runtime that is back. */
const probeIntervalMs = 500;

interface Connection {
  stopObserving(): void;
  drain(text: string): void;
  stop(text: string): void;
}

/**
 * An endpoint that joins each client connection to one of the runtime's and reads along. Calls keep
 * everything end to end; see the README for what happens when the runtime is away and on closing.
 * Rejects as {@link listenUnix} does.
 */
export async function createPipedEndpoint(options: PipedEndpointOptions): Promise<Endpoint> {
  const { upstreamPath, observer, calls } = options;
  const limits: ReaderLimits = {
    ...defaultReaderLimits,
    ...(options.maxObservedMessageBytes === undefined
      ? {}
      : { maxObservedMessageBytes: options.maxObservedMessageBytes }),
  };
  const stopText = new ShuttingDownError(options.service ?? 'endpoint').message;
  const connections = new Map<net.Socket, Connection | undefined>();
  const unavailable = new Map<net.Socket, UnavailableConnection>();
  const detached: Partial<Record<DetachReason, number>> = {};
  let accepted = 0;
  let callsInFlight = 0;
  let observing = true;
  let draining = false;
  let socketError = 'not connected';
  const drained = new IdleWait(() => connections.size === 0);
  let lingering: IdleWait | undefined;
  let probeTimer: NodeJS.Timeout | undefined;

  const newReader = (): ConnectionReader =>
    new ConnectionReader(
      {
        observer: {
          observes: (method) => observing && (observer?.observes(method) ?? false),
          started: (method) => observer?.started?.(method),
          requested: (method, request) => {
            if (observing) observer?.requested?.(method, request);
          },
          ended: (call) => observer?.ended(call),
        },
        calls: {
          started: (method) => {
            callsInFlight++;
            calls?.started?.(method);
          },
          ended: (call) => {
            callsInFlight--;
            calls?.ended?.(call);
          },
        },
        onDetached: (reason, detail) => {
          detached[reason] = (detached[reason] ?? 0) + 1;
          notify(() => options.onDetached?.(reason, detail));
        },
      },
      limits,
    );
  const text = (reason: string): string =>
    options.unavailableReason() ?? `container runtime at ${upstreamPath} is unavailable: ${reason}`;

  let probing: Promise<boolean> | undefined;
  const runtime: RuntimeState = {
    answers: () => (probing ??= connects(upstreamPath).finally(() => (probing = undefined))),
    text: () => text(socketError),
  };
  /**
   * While clients wait for the runtime: check whether it is back, and send them to new connections.
   */
  const watchForRuntime = (): void => {
    probeTimer ??= setTimeout(() => {
      probeTimer = undefined;
      void runtime.answers().then((back) => {
        if (back) for (const connection of unavailable.values()) connection.sendAway();
        else if (unavailable.size > 0) watchForRuntime();
      });
    }, probeIntervalMs);
    probeTimer.unref();
  };

  const onConnection = (client: net.Socket): void => {
    accepted++;
    connections.set(client, undefined);
    // The client's bytes wait in the kernel until its connection has a listener.
    const replies = new ReadBuffer();
    const connecting = connectUnix(
      upstreamPath,
      {
        connected: (upstream) => {
          const reader = newReader();
          const connection = new PipedConnection(
            client,
            upstream,
            replies,
            reader,
            () => text('connection lost'),
            rewriterFor(options.rewritePaths?.(), reader, limits),
          );
          connections.set(client, connection);
          if (draining) connection.drain(stopText);
        },
        failed: (error) => {
          socketError = errorMessage(error);
          const connection = new UnavailableConnection(client, newReader(), runtime, limits);
          connections.set(client, {
            stopObserving: () => undefined,
            drain: () => connection.sendAway(),
            stop: (reason) => connection.stop(reason),
          });
          unavailable.set(client, connection);
          watchForRuntime();
          if (draining) connection.sendAway();
        },
      },
      { allowHalfOpen: true, onread: replies.onread },
    );
    client.once('close', () => {
      connecting.cancel();
      connections.delete(client);
      unavailable.delete(client);
      drained.look();
      lingering?.look();
    });
  };

  const listener = await listenUnix(options, onConnection, { allowHalfOpen: true });

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await listener.close();
    draining = true;
    for (const connection of connections.values()) connection?.drain(stopText);
    await drained.ended();
    for (const [client, connection] of connections) {
      if (connection === undefined) client.destroy();
      else connection.stop(stopText);
    }
    lingering = new IdleWait(() => connections.size === 0);
    lingering.limit(lingerMs);
    await lingering.ended();
    for (const client of connections.keys()) client.destroy();
    clearTimeout(probeTimer);
  };

  return {
    socketPath: listener.socketPath,
    stopObserving: () => {
      observing = false;
      for (const connection of connections.values()) connection?.stopObserving();
    },
    close: ({ drainMs = 0 } = {}) => {
      drained.limit(drainMs);
      return (closing ??= close());
    },
    stats: (): EndpointStats => ({
      acceptedConnections: accepted,
      openConnections: connections.size,
      callsInFlight,
      detached: { ...detached },
    }),
  };
}

/** How long clients may take to close after the last frame. */
const lingerMs = 1_500;

function connects(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(socketPath);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
