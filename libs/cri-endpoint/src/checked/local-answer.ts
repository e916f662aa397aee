import { grpcStatusCode, ShuttingDownError, toGrpcStatus } from '@stowage/errors';
import type { PipeCall } from './pipe-call';
import { frameMessage } from '../grpc-wire';
import { HandlerCall } from '../handler-call';
import type { TurnQueue } from '../turn-queue';
import type { LocalHandler } from '../types';

/** The status of a call that went well. */
const ok = 0;

/** What waits for a client before a handler that streams has to wait, too. */
const maxWaitingBytes = 16 * 1024;

/** The connection as the answer to one call sees it. */
export interface AnswerSink {
  /** Sends what the windows allow of {@link LocalAnswer.waiting}, and the end after that. */
  pump(call: PipeCall): void;
  /** Hands all frames to the socket. */
  flush(): void;
}

/** The status at the end of an answer. */
export interface AnswerEnd {
  readonly code: number;
  readonly message: string;
  readonly extra?: Readonly<Record<string, string>>;
}

/**
 * The answer of a handler to one call. It is ended as soon as the call's deadline passes; whatever
 * a handler that ignores its signal returns or sends later is dropped.
 */
export class LocalAnswer {
  /** Framed messages that wait for the client's windows. */
  readonly waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Set once there are no more messages. */
  end: AnswerEnd | undefined;
  /** Whether its end was handed to the socket. */
  isWritten = false;
  readonly #handled: HandlerCall;

  constructor(
    private readonly call: PipeCall,
    private readonly handler: LocalHandler,
    private readonly sink: AnswerSink,
  ) {
    this.#handled = new HandlerCall(call.method);
  }

  /** Takes the call's deadline; false when that cannot be read, and the call has its status. */
  begin(): boolean {
    const { timeout } = this.call.head;
    const message = this.#handled.begin(timeout, (error) => this.#stopWith(error));
    if (message === undefined) return true;
    this.fail({ code: grpcStatusCode.INTERNAL, message });
    return false;
  }

  /** The request is there. */
  answer(request: Uint8Array, turns: TurnQueue): void {
    turns.begin(() => void this.#answer(request));
  }

  /** Ends the call with a status; nothing happens when it has one. */
  fail(end: AnswerEnd): void {
    if (this.end !== undefined || this.call.isOver) return;
    this.#end(end);
    this.sink.pump(this.call);
  }

  /** Ends the call with UNAVAILABLE because `service` is closing. */
  stop(service: string): void {
    this.#stopWith(new ShuttingDownError(service));
  }

  /** Bytes of `waiting` have gone to the client. */
  sent(bytes: number): void {
    this.#waitingBytes -= bytes;
    if (this.#waitingBytes === 0) this.#handled.wake();
  }

  /** The last byte has left this process. */
  left(): void {
    this.#handled.left();
  }

  /** The call is over for the client. */
  over(): void {
    if (!this.isWritten) this.left();
    if (this.end === undefined) this.#handled.abort();
    this.waiting.length = 0;
    this.#waitingBytes = 0;
    this.#handled.wake();
  }

  async #answer(request: Uint8Array): Promise<void> {
    const { call, handler } = this;
    if (this.#isOver()) return;
    const known = this.#handled.known(call.head.metadata());
    try {
      if (typeof handler === 'function') {
        const response = await handler(request, known);
        if (this.#isOver()) return;
        this.#push(frameMessage(response));
      } else {
        const send = (message: Uint8Array): Promise<void> => this.#send(message);
        const fail = (error: unknown): void => this.#stopWith(error);
        await handler.stream(request, { ...known, send, fail });
      }
      this.fail({ code: ok, message: '' });
    } catch (error) {
      this.fail(toGrpcStatus(error));
    }
    this.sink.flush();
  }

  async #send(message: Uint8Array): Promise<void> {
    if (this.#isOver()) throw this.#handled.whyOver();
    const framed = frameMessage(message);
    this.#push(framed);
    const isLong = this.#waitingBytes >= maxWaitingBytes;
    this.sink.pump(this.call);
    this.sink.flush();
    if (!isLong || this.#waitingBytes === 0) return;
    await this.#handled.wait();
    if (this.#isOver()) throw this.#handled.whyOver();
  }

  #push(framed: Buffer): void {
    this.waiting.push(framed);
    this.#waitingBytes += framed.length;
    this.call.responseBytes += framed.length;
  }

  /** The status is known; only the end of the answer has not left yet. */
  #end(end: AnswerEnd): void {
    this.end = end;
    this.call.grpcStatus = end.code;
    this.#handled.ended();
  }

  #stopWith(error: unknown): void {
    this.#handled.abort(error);
    this.fail(toGrpcStatus(error));
    this.sink.flush();
  }

  #isOver(): boolean {
    return this.end !== undefined || this.call.isOver;
  }
}
