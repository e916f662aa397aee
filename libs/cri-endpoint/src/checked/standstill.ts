import type { Socket } from 'node:net';
import { waitingWrites } from '../waiting-writes';

/**
 * Finds out whether the other side of a socket takes anything of what waits for it. To be asked
 * twice a second; a clock would also count the time of a suspended machine.
 */
export class Standstill {
  #read = 0;
  #queued = 0;
  #looks = 0;

  /** Consecutive looks at which something waited and nothing had moved in either direction. */
  looks(socket: Socket): number {
    const read = socket.bytesRead;
    const queued = waitingWrites(socket);
    const isStill = read === this.#read && queued === this.#queued;
    this.#read = read;
    this.#queued = queued;
    this.#looks = queued > 0 && isStill ? this.#looks + 1 : 0;
    return this.#looks;
  }
}
