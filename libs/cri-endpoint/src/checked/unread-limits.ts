import type { PipeCall } from './pipe-call';
import { lookMs } from './pipe-host';

/** What a client has to take within its limit of a call that goes on waiting for it. */
const leastBytes = 16 * 1024;

/** The client whose calls are limited. */
export interface LimitedClient {
  /** What it takes of DATA on its whole connection. */
  readonly window: number;
  /** Whether the kernel has not taken all that was sent to it. */
  readonly hasUnread: boolean;
  /** Ends a call that the client does not read. */
  unread(call: PipeCall): void;
}

/** Calls whose client may not stand still for long, nor go on byte by byte. */
export class UnreadLimits {
  readonly #calls = new Set<PipeCall>();

  constructor(private readonly client: LimitedClient) {}

  add(call: PipeCall, limitMs: number): void {
    call.maxStalledLooks = Math.max(1, Math.floor(limitMs / lookMs));
    this.#calls.add(call);
  }

  forget(call: PipeCall): void {
    this.#calls.delete(call);
  }

  /** Called twice a second: ends calls whose client takes nothing of what waits for it. */
  look(): void {
    for (const call of [...this.#calls]) this.#lookAt(call);
  }

  #lookAt(call: PipeCall): void {
    const { client } = this;
    const isWaiting =
      call.local === undefined
        ? call.sendWindow <= 0 ||
          client.window <= 0 ||
          client.hasUnread ||
          call.upstream?.holdsReplies === true
        : call.local.waiting.length > 0;
    if (call.sentBytes - call.sentAtLook >= leastBytes) {
      call.sentAtLook = call.sentBytes;
      call.stalledLooks = 0;
    } else if (!isWaiting) {
      // One look may fall between a byte of window and what the runtime sends for it.
      call.stalledLooks = Math.max(0, call.stalledLooks - 1);
      if (call.stalledLooks === 0) call.sentAtLook = call.sentBytes;
    } else if (++call.stalledLooks >= call.maxStalledLooks) {
      client.unread(call);
    }
  }
}
