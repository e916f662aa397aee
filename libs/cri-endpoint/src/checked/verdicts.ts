import { grpcStatusCode, toGrpcStatus } from '@stowage/errors';
import { inVersion } from '@stowage/cri-proto/paths';
import { LocalAnswer, type AnswerEnd, type AnswerSink } from './local-answer';
import type { PipeCall } from './pipe-call';
import { maxHeaderListBytes } from './request-head';
import { HeldRequest, type ClientShare } from '../client-share';
import { MessageReader, messagePrefixBytes } from '../grpc-wire';
import { cutShort, problemOf } from '../read-request';
import type { TurnQueue } from '../turn-queue';
import type { LocalHandler, RequestCheck } from '../types';

/** What calls are judged by. */
export interface VerdictRules {
  readonly service: string;
  readonly maxRequestBytes: number;
  /** By path in the `runtime.v1` package. */
  readonly handlers: ReadonlyMap<string, LocalHandler>;
  readonly turns: TurnQueue;
  /** What it throws is the status of the call; what it returns looks at the request. */
  admit(method: string): RequestCheck | undefined;
}

/** What becomes of a call; each ends the part of {@link Verdicts}. */
export interface VerdictTarget {
  refuse(call: PipeCall, end: AnswerEnd): void;
  /** `message` is what the runtime gets in place of the client's. */
  forward(call: PipeCall, message?: Uint8Array): void;
  /** The call is answered by a handler. */
  answers(call: PipeCall): void;
  flush(): void;
}

const empty = Buffer.alloc(0);

/**
 * Decides about the calls of one client: refused, forwarded, answered here, or forwarded or refused
 * once the request was looked at. A request that is looked at or answered here is read here.
 */
export class Verdicts {
  constructor(
    private readonly rules: VerdictRules,
    private readonly share: ClientShare,
    private readonly answers: AnswerSink,
    private readonly target: VerdictTarget,
  ) {}

  /** The headers of a call are there. */
  judge(call: PipeCall): void {
    const { head, method } = call;
    const { service, handlers } = this.rules;
    const refusal = this.share.callBegan();
    if (refusal !== undefined) {
      this.#exhausted(call, `${service}: ${refusal}`);
      return;
    }
    if (head.isTooLarge) {
      this.#exhausted(call, `${service}: more than ${maxHeaderListBytes} bytes of headers`);
      return;
    }
    if (head.method !== 'POST') {
      const message = `${service}: gRPC calls are made with POST`;
      this.target.refuse(call, { code: grpcStatusCode.INTERNAL, message });
      return;
    }
    const handler = handlers.size === 0 ? undefined : handlers.get(inVersion(method, 'v1'));
    if (handler !== undefined) {
      call.local = new LocalAnswer(call, handler, this.answers);
      this.target.answers(call);
      if (!call.local.begin()) return;
    } else {
      try {
        call.check = this.rules.admit(method);
      } catch (error) {
        this.target.refuse(call, toGrpcStatus(error));
        return;
      }
      if (call.check === undefined) {
        this.target.forward(call);
        return;
      }
    }
    if (call.requestEnded) this.collect(call, empty, 0, 0);
  }

  /** Takes DATA of a request that is read here, or its end without DATA. */
  collect(call: PipeCall, input: Buffer, start: number, end: number): void {
    // A handler's call can have its status before its request has ended.
    if (call.grpcStatus !== undefined) return;
    const { method } = call;
    const { maxRequestBytes } = this.rules;
    const bytes = end - start;
    if (bytes > 0 && !this.#holds(call, bytes)) return;
    // Most requests come in one frame.
    if (
      call.reader === undefined &&
      call.requestEnded &&
      isMessage(input, start, end) &&
      bytes - messagePrefixBytes <= maxRequestBytes
    ) {
      // A copy, for it may be needed after the next read.
      this.#onMessage(call, Buffer.from(input.subarray(start + messagePrefixBytes, end)));
      return;
    }
    call.reader ??= new MessageReader(maxRequestBytes);
    const { reader } = call;
    reader.push(input.subarray(start, end));
    const problem = problemOf(reader, method, call.head.encoding, maxRequestBytes);
    if (problem !== undefined) this.target.refuse(call, problem);
    else if (call.requestEnded && reader.complete) this.#onMessage(call, reader.message());
    else if (call.requestEnded) this.target.refuse(call, cutShort(reader, method));
  }

  /** Counts what is held of a request; false when no more may be, and the call has its status. */
  #holds(call: PipeCall, bytes: number): boolean {
    call.held ??= new HeldRequest(this.share);
    const refusal = call.held.add(bytes);
    if (refusal === undefined) return true;
    this.#exhausted(call, `${call.method}: ${refusal}`);
    return false;
  }

  #onMessage(call: PipeCall, message: Uint8Array): void {
    if (call.local !== undefined) {
      call.local.answer(message, this.rules.turns);
      return;
    }
    let checked: Uint8Array | Promise<Uint8Array> | undefined;
    try {
      checked = call.check?.(message, call);
    } catch (error) {
      this.target.refuse(call, toGrpcStatus(error));
      return;
    }
    // Most checks do not wait, and then neither does the call.
    if (checked === undefined || checked instanceof Uint8Array) {
      this.target.forward(call, checked);
      return;
    }
    void checked.then(
      (admitted) => {
        if (!call.isOver) this.target.forward(call, admitted);
        this.target.flush();
      },
      (error: unknown) => {
        if (!call.isOver) this.target.refuse(call, toGrpcStatus(error));
        this.target.flush();
      },
    );
  }

  #exhausted(call: PipeCall, message: string): void {
    this.target.refuse(call, { code: grpcStatusCode.RESOURCE_EXHAUSTED, message });
  }
}

/** Whether this is one message, not compressed, with its prefix. */
function isMessage(input: Buffer, start: number, end: number): boolean {
  return (
    end - start >= messagePrefixBytes &&
    input[start] === 0 &&
    input.readUInt32BE(start + 1) === end - start - messagePrefixBytes
  );
}
