import { CancelledError, DeadlineExceededError } from '@stowage/errors';
import { parseGrpcTimeout } from './grpc-wire';
import type { UnaryCall } from './types';

/** Longest delay of a Node.js timer. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * Longest time from the end of an answer until `answered` resolves, whether or not the client takes
 * the answer.
 */
const maxAnsweredMs = 1_000;

/**
 * A call that is answered here, as its handler sees it: signal, deadline, whether the answer has
 * left, and the wait for a client that reads slowly. How the answer gets to the client is the
 * business of the endpoint.
 */
export class HandlerCall {
  readonly #abort = new AbortController();
  #hasLeft: () => void = () => undefined;
  readonly #answered = new Promise<void>((resolve) => (this.#hasLeft = resolve));
  /** Handlers that wait until the client has taken what they sent. */
  #senders: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #deadline: Date | undefined;

  constructor(private readonly method: string) {}

  /**
   * Takes the call's `grpc-timeout`; `onDeadline` is called once it has passed. Returns what is
   * wrong with it, if anything.
   */
  begin(
    timeout: string | undefined,
    onDeadline: (error: DeadlineExceededError) => void,
  ): string | undefined {
    if (timeout === undefined) return undefined;
    const timeoutMs = parseGrpcTimeout(timeout);
    if (timeoutMs === undefined) return `malformed grpc-timeout: ${JSON.stringify(timeout)}`;
    this.#deadline = new Date(Math.min(Date.now() + timeoutMs, 8.64e15));
    if (timeoutMs <= maxTimerMs) {
      const passed = () => onDeadline(new DeadlineExceededError(this.method, timeoutMs));
      this.#timer = setTimeout(passed, timeoutMs);
    }
    return undefined;
  }

  /** What the handler gets beside the request. */
  known(metadata: Record<string, string>): UnaryCall {
    return {
      method: this.method,
      signal: this.#abort.signal,
      deadline: this.#deadline,
      metadata,
      answered: this.#answered,
    };
  }

  /** The status is known; only the end of the answer has not left yet. */
  ended(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#hasLeft, maxAnsweredMs).unref();
    this.wake();
  }

  /** The last byte has left this process, or never will. */
  left(): void {
    clearTimeout(this.#timer);
    this.#hasLeft();
  }

  /** The handler need not go on; absent reason: the client is gone. */
  abort(reason: unknown = new CancelledError(this.method)): void {
    this.#abort.abort(reason);
  }

  /** Resolves at the next {@link wake}. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.#senders.push(resolve));
  }

  /** The client has taken what was sent, or the call is over: handlers that wait go on. */
  wake(): void {
    const senders = this.#senders;
    this.#senders = [];
    for (const goOn of senders) goOn();
  }

  /** What a handler gets that sends to a call which is over. */
  whyOver(): Error {
    const { signal } = this.#abort;
    return signal.aborted ? (signal.reason as Error) : new CancelledError(this.method);
  }
}
