import { TokenBucket } from '@stowage/async';

/**
 * Calls that a client may have open on a connection: the SETTINGS_MAX_CONCURRENT_STREAMS it is
 * sent.
 */
export const maxCallsPerConnection = 1_000;
/** Calls that all clients may have open. */
const maxCalls = 2_000;
/** Calls that a connection may have open whatever others have. */
const callsAlways = 32;
/** Request bytes that all clients may have held here, unless one message alone may be larger. */
const maxHeldBytes = 64 * 1024 * 1024;
/** Request bytes that a connection may have held here whatever others have. */
const heldBytesAlways = 256 * 1024;
/**
 * Calls that a client may cancel in a burst and, on average, in a second before it is sent to a new
 * connection: below those (1 000 and 33) after which nghttp2 of Node.js 20 sends a GOAWAY with an
 * error, on which some clients drop the calls they have.
 */
const resetBurst = 500;
const resetsPerSecond = 33;

/**
 * The calls and held bytes of all clients of an endpoint; each client has a {@link ClientShare} of
 * them.
 */
export class ClientShares {
  calls = 0;
  heldBytes = 0;
  readonly maxHeldBytes: number;

  /** @param maxRequestBytes largest message; one connection may have that much held. */
  constructor(readonly maxRequestBytes: number) {
    this.maxHeldBytes = Math.max(maxHeldBytes, maxRequestBytes);
  }
}

/**
 * The open calls and held bytes of one connection. Beyond a limit of the connection, or of all
 * connections, more is refused. A small amount is always granted, so that heavy clients do not take
 * it from light ones.
 */
export class ClientShare {
  #calls = 0;
  #heldBytes = 0;
  readonly #resets = new TokenBucket(resetsPerSecond, resetBurst);

  constructor(private readonly all: ClientShares) {}

  /** Counts a call until {@link callEnded}; returns the reason when it may not begin. */
  callBegan(): string | undefined {
    this.#calls++;
    this.all.calls++;
    if (this.#calls <= callsAlways || this.all.calls <= maxCalls) return undefined;
    return `${this.all.calls - 1} calls are open, ${this.#calls - 1} of them on this connection; at most ${maxCalls} may be`;
  }

  callEnded(): void {
    this.#calls--;
    this.all.calls--;
  }

  /** Reserves more request bytes; returns the reason when they may not be held. */
  hold(bytes: number): string | undefined {
    this.#heldBytes += bytes;
    this.all.heldBytes += bytes;
    const { maxRequestBytes, maxHeldBytes } = this.all;
    // With the prefix of the message, the largest is a little longer.
    if (this.#heldBytes > maxRequestBytes + heldBytesAlways) {
      return `request messages of this connection that are held come to more than ${maxRequestBytes} bytes`;
    }
    if (this.#heldBytes > heldBytesAlways && this.all.heldBytes > maxHeldBytes) {
      return `request messages that are held come to more than ${maxHeldBytes} bytes`;
    }
    return undefined;
  }

  /** Releases request bytes. */
  release(bytes: number): void {
    this.#heldBytes -= bytes;
    this.all.heldBytes -= bytes;
  }

  /** The client has cancelled a call; false once it has done so too often. */
  callReset(): boolean {
    return this.#resets.take() === 0;
  }
}

/** Counts what is held of one request. */
export class HeldRequest {
  #bytes = 0;

  constructor(private readonly share: ClientShare) {}

  /** Reserves more of it; returns the reason when it may not be held. */
  add(bytes: number): string | undefined {
    this.#bytes += bytes;
    return this.share.hold(bytes);
  }

  /** Releases all of it. */
  release(): void {
    this.share.release(this.#bytes);
    this.#bytes = 0;
  }
}
