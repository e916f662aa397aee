import type { PipeCall } from './pipe-call';
import { lookMs } from './pipe-host';

/** The client whose calls are limited. */
export interface LimitedClient {
  /** What it takes of DATA on its whole connection. */
  readonly window: number;
  /** Whether the kernel has not taken all that was sent to it. */
  readonly hasUnread: boolean;
  /** Ends a call that the client does not read. */
  unread(call: PipeCall): void;
}

/** Calls whose client may not stand still for long. */
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
        ? call.sendWindow <= 0 || client.window <= 0 || client.hasUnread
        : call.local.waiting.length > 0;
    const hasMoved = call.sentBytes !== call.sentAtLook;
    call.sentAtLook = call.sentBytes;
    call.stalledLooks = isWaiting && !hasMoved ? call.stalledLooks + 1 : 0;
    if (call.stalledLooks >= call.maxStalledLooks) client.unread(call);
  }
}
