import type { PipeCall } from './pipe-call';
import type { PipeHost } from './pipe-host';
import { CallTap, type ObservedBytes } from '../call-tap';
import { defaultReaderLimits } from '../connection-reader';
import type { CallOutcome } from '../types';

/** Reports the calls of one client to those who count and observe them. */
export class CallReports {
  readonly #observedBytes: ObservedBytes = {
    held: 0,
    max: defaultReaderLimits.maxObservedConnectionBytes,
  };
  /** Calls that have ended and were not reported yet. */
  #ended: PipeCall[] = [];

  constructor(private readonly host: PipeHost) {}

  began(call: PipeCall): void {
    const { host } = this;
    const { method } = call;
    if (host.observes(method)) {
      call.tap = new CallTap(host.maxObservedBytes, this.#observedBytes, (request) => {
        // The tap is asked before the bytes go on, so that nobody waits for an observer.
        setImmediate(() => host.requested(method, request));
      });
    }
    host.callStarted(method);
  }

  /** The call is over; {@link send} reports it. */
  ended(call: PipeCall): void {
    this.#ended.push(call);
  }

  /** Reports what has ended; to be called when its bytes are on their way. */
  send(): void {
    if (this.#ended.length === 0) return;
    const ended = this.#ended;
    this.#ended = [];
    for (const call of ended) {
      const summary = call.summary();
      this.host.callEnded(summary);
      this.#observed(call, summary.outcome, summary.durationMs);
    }
  }

  /** Reports a call that is being observed as one that is not any more; it goes on. */
  unobserved(call: PipeCall): void {
    this.#observed(call, 'unobserved', performance.now() - call.began);
  }

  #observed(call: PipeCall, outcome: CallOutcome, durationMs: number): void {
    const { method, grpcStatus, grpcMessage, startedAt, tap } = call;
    if (tap === undefined) return;
    call.tap = undefined;
    const end = { outcome, grpcStatus, grpcMessage, ...tap.end(), startedAt, durationMs };
    this.host.observed({ method, ...end });
  }
}
