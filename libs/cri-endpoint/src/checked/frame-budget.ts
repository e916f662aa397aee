/** What a client may send of frames that do no work, at once and in a second. */
const burst = 10_000;
const perSecond = 1_000;
/**
 * How many more of them each DATA frame to the client, and each answer, allows: clients answer it
 * with WINDOW_UPDATE, and those in Go with a PING, by which they measure the connection's speed.
 */
const forEachData = 4;
/** SETTINGS that the runtime hears of. */
const settingsBurst = 100;
const settingsPerSecond = 5;

/**
 * Bounds the frames that cost a client nothing and make others work: PING, SETTINGS, PRIORITY,
 * WINDOW_UPDATE, empty DATA, frames of streams that are over, calls beyond the limit.
 */
export class FrameBudget {
  #left = burst;
  #settingsLeft = settingsBurst;
  #at = performance.now();

  /** Counts a frame; false once there were too many. */
  take(): boolean {
    if (--this.#left >= 0) return true;
    this.#refill();
    return this.#left >= 0;
  }

  /** Counts a SETTINGS frame; false once there were too many. */
  takeSettings(): boolean {
    if (--this.#settingsLeft < 0) this.#refill();
    return this.take() && this.#settingsLeft >= 0;
  }

  /** A DATA frame has gone to the client, or the end of an answer. */
  earn(): void {
    if (this.#left < burst) this.#left += forEachData;
  }

  #refill(): void {
    const now = performance.now();
    const seconds = (now - this.#at) / 1_000;
    this.#at = now;
    this.#left = Math.min(burst, this.#left + seconds * perSecond);
    this.#settingsLeft = Math.min(settingsBurst, this.#settingsLeft + seconds * settingsPerSecond);
  }
}
