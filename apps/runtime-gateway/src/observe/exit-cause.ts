/**
 * How much earlier than the noted start of a stop call an exit may be that it caused, milliseconds:
 * the call is passed on first and noted then, and on a busy machine the runtime can be done with it
 * in between.
 */
const noticeDelayMs = 1000;

/**
 * Whether an exit followed from a stop that was asked for at that time, both in milliseconds since
 * the epoch.
 */
export const wasAskedFor = (finishedAtMs: number, askedAtMs: number): boolean =>
  finishedAtMs >= askedAtMs - noticeDelayMs;
