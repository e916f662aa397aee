import type { PullImageRequest, PullImageResponse } from '@stowage/cri-proto';
import type { TraceContext } from '@stowage/tracing';
import type {
  CredentialChoice,
  CredentialLabel,
  CredentialProblem,
  PullCredential,
} from '../credentials/credentials';
import type { ImageNames } from '../runtime/image-names';
import type { RuntimeImage } from '../runtime/image-runtime';
import type { PullErrorClass } from './classify-pull-error';
import type { Coalesced } from './pull-coalescer';

/** One pull by the runtime, whoever waits for it. */
export interface Pull {
  /** The same in all that is published about this pull. */
  readonly id: string;
  readonly requestedReference: string;
  /** Absent when the reference does not parse. */
  readonly reference?: string;
  readonly runtimeHandler?: string;
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly holdUntil?: Date;
  readonly traceparent?: string;
}

/** How a pull ended well. */
export interface PullAnswer {
  readonly response: PullImageResponse;
  readonly endedAt: Date;
  readonly credential: CredentialLabel;
  /** Whose that credential is, for pull records. */
  readonly owner?: PullCredential['owner'];
  /** PullImage calls made, the one that succeeded included. */
  readonly attempts: number;
  /** Those before it, in order. */
  readonly failedAttempts?: readonly TriedCredential[];
  /** Time in the runtime, milliseconds. */
  readonly durationMs: number;
  /** Time in the queue before that, milliseconds. */
  readonly waitedMs: number;
  readonly credentialProblems?: readonly CredentialProblem[];
}

/** What is published about a pull that ended well. */
export interface PulledImage extends PullAnswer {
  /** What the runtime says about the image now; absent when it would not say. */
  readonly image?: RuntimeImage;
}

/** What whoever waits for a pull gets, as soon as the runtime has answered. */
export interface FinishedPull extends PullAnswer {
  /**
   * As in {@link PulledImage}; once it resolves, the end of the pull is published. Never rejects.
   */
  readonly image: Promise<RuntimeImage | undefined>;
  /** The pull's own place in a trace, whoever waits for it. */
  readonly trace?: TraceContext;
}

/** A credential that was tried, and how that ended. */
export interface TriedCredential extends CredentialLabel {
  readonly result: PullErrorClass | 'success';
  /** The runtime's message without secrets; only of attempts before one that brought the image. */
  readonly reason?: string;
}

/** How a pull ended without the image. */
export interface FailedPull {
  readonly error: unknown;
  readonly errorClass: PullErrorClass;
  readonly attempts: number;
  readonly credentials: readonly TriedCredential[];
  /** Time in the runtime, or in the queue where the runtime was not asked, milliseconds. */
  readonly durationMs: number;
  readonly credentialProblems?: readonly CredentialProblem[];
}

/** How far a pull is. */
export interface PullProgress {
  readonly bytes: number;
  readonly totalBytes?: number;
  readonly percent?: number;
  readonly bytesPerSecond?: number;
  readonly remainingMs?: number;
  readonly elapsedMs: number;
  /** `bytes` is the growth of the whole store since the pull began, other pulls included. */
  readonly approximate: boolean;
}

/** Is notified of pulls: events, metrics and log. Must not throw. */
export interface PullListener {
  started?(pull: Pull): void;
  attempted?(credential: CredentialLabel, result: PullErrorClass | 'success'): void;
  succeeded?(pull: Pull, pulled: PulledImage): void;
  failed?(pull: Pull, failure: FailedPull): void;
  progressed?(pull: Pull, progress: PullProgress): void;
  /** A caller took part in a pull that was going on. */
  joined?(): void;
}

/** Who waits for a pull. */
export interface PullWaiter {
  readonly since: Date;
  /** PullImage on the socket, or the command `ensure`. */
  readonly by: 'cri' | 'command';
  readonly pod?: Pull['pod'];
  /** As the command calls itself. */
  readonly caller?: string;
}

/** A pull that is going on. */
export interface PullInProgress {
  readonly pull: Pull;
  /** When it was first asked for. */
  readonly since: Date;
  /** When the runtime was asked; absent before. */
  readonly startedAt?: Date;
  /** Credentials that were tried and did not bring the image. */
  readonly attempts: number;
  readonly waiters: readonly PullWaiter[];
}

/** A layer of an image, or its configuration. */
export interface LayerProgress {
  readonly digest: string;
  readonly sizeBytes: number;
  /** What has arrived of it. */
  readonly bytes: number;
}

/** What comes with a pull beside the CRI request. */
export interface PullOptions {
  /** The caller's: aborts when it cancels or its deadline passes. */
  readonly signal: AbortSignal;
  readonly holdUntil?: Date;
  /**
   * The names of the image where the caller has parsed them; else they are parsed from the request.
   */
  readonly names?: ImageNames;
  /** Chosen by the caller; else the request's own, or the node's. */
  readonly credentials?: CredentialChoice;
  /** For whom the command `ensure` asks; absent where it does not say, and for the CRI. */
  readonly caller?: string;
  /** Whether a command asked. Absent: the CRI. */
  readonly by?: PullWaiter['by'];
  /** Place in the queue; more is sooner. Of callers that share a pull, the first one's counts. */
  readonly priority?: number;
  /** Of the caller; that of the pull goes on to the runtime and into the events. */
  readonly trace?: TraceContext;
  /**
   * Resolves when the caller's answer has left. What follows a pull waits for it; absent: it
   * follows at once. Never given by a caller that waits for {@link FinishedPull.image} before it
   * answers.
   */
  readonly answered?: Promise<void>;
}

/** Pulls an image for one caller. */
export interface Puller {
  pull(request: PullImageRequest, options: PullOptions): Promise<Coalesced<FinishedPull>>;
}
