import type { ClientCalls } from './client-calls';
import type { PipeCall } from './pipe-call';
import { PipeUpstream } from './pipe-upstream';
import type { AwaitedAck } from './upstream-client';

/** Connections of a client to one socket, where the runtime allows few calls on each. */
const maxUpstreams = 8;

/** The connections of one client to the runtime. */
export class ClientUpstreams {
  readonly #all: PipeUpstream[] = [];

  constructor(private readonly calls: ClientCalls) {}

  /** Whether the runtime does not take what is sent to it, on one of them. */
  get isFull(): boolean {
    return this.#all.some(({ isFull }) => isFull);
  }

  /** Whether the sockets have taken all that was flushed. */
  get haveLeft(): boolean {
    return this.#all.every(({ hasLeft }) => hasLeft);
  }

  /** Sends a call over a connection to `address` that takes it. */
  take(call: PipeCall, address: string): void {
    let waits: PipeUpstream | undefined;
    let count = 0;
    for (const upstream of this.#all) {
      if (upstream.address !== address) continue;
      if (upstream.takesCalls) {
        upstream.take(call);
        return;
      }
      if (upstream.isClosing) continue;
      count++;
      if (waits?.mayTakeCalls !== true) waits = upstream;
    }
    if (waits === undefined || (!waits.mayTakeCalls && count < maxUpstreams)) {
      waits = new PipeUpstream(address, this.calls);
      this.#all.push(waits);
    }
    waits.take(call);
  }

  /** One of them is lost or was not needed any more. */
  remove(upstream: PipeUpstream): void {
    const index = this.#all.indexOf(upstream);
    if (index >= 0) this.#all.splice(index, 1);
  }

  /** The client takes more on the whole connection. */
  connectionWindow(): void {
    for (const upstream of [...this.#all]) upstream.connectionWindow();
  }

  /** Sends the client's SETTINGS; `ack` is settled once all of them have acknowledged them. */
  settings(ack: AwaitedAck): void {
    for (const upstream of this.#all) upstream.settings(ack);
  }

  flush(): void {
    for (const upstream of this.#all) upstream.flush();
  }

  /** The client's socket takes bytes again. */
  resume(): void {
    for (const upstream of this.#all) upstream.resume();
  }

  /** Checked twice a second: gives up those that stand still. */
  look(): void {
    for (const upstream of [...this.#all]) upstream.look();
  }

  destroy(): void {
    for (const upstream of [...this.#all]) upstream.destroy();
  }
}
