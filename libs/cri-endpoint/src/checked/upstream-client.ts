import type { ClientSettings } from './client-frames';
import type { PipeCall } from './pipe-call';
import type { PipeUpstream } from './pipe-upstream';
import type { FrameWriter } from '../wire/frame-writer';

/** SETTINGS of a client that the runtime has been sent, and that it has yet to acknowledge. */
export interface AwaitedAck {
  connections: number;
}

/** The client whose calls go over a {@link PipeUpstream}. */
export interface UpstreamClient {
  readonly writer: FrameWriter;
  readonly settings: ClientSettings;
  /** What it takes of DATA on its whole connection. */
  readonly window: number;
  /** Whether it does not take what is sent to it. */
  readonly isFull: boolean;
  /** Hands everything that was written to the sockets, the runtime's too. */
  flush(): void;
  /** DATA of `bytes` goes to the client. */
  sendsData(call: PipeCall, bytes: number): void;
  /** DATA of the client was taken. */
  consumed(call: PipeCall | undefined, bytes: number): void;
  /** The runtime has answered to the end, and the client has it. */
  answerEnded(call: PipeCall): void;
  /** The runtime has reset the call, and the client knows. */
  runtimeReset(call: PipeCall): void;
  /** The runtime has not begun the call and will not: the client tries it again. */
  refusedByRuntime(call: PipeCall): void;
  /** The connection to the runtime is lost. */
  lost(call: PipeCall, failure: string): void;
  /** The connection did not move any more, or broke HTTP/2. */
  givenUp(address: string, reason: string): void;
  /** One connection less that has to acknowledge SETTINGS. */
  acknowledged(ack: AwaitedAck): void;
  /** The call needs another connection to `address`. */
  take(call: PipeCall, address: string): void;
  upstreamGone(upstream: PipeUpstream): void;
  /** The runtime takes bytes again. */
  upstreamDrained(): void;
}
