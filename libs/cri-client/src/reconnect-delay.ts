/**
 * Kubelet's connection parameters: it is given 5 s to answer, and tried again after 100 ms up to 3
 * s.
 */
export const connectTimeoutMs = 5000;
const baseDelayMs = 100;
const maxDelayMs = 3000;
const factor = 1.6;
const jitter = 0.2;

/**
 * Milliseconds to wait after the given number of failed attempts in a row (1 or more); `random` is
 * from 0 to 1.
 */
export function reconnectDelayMs(failures: number, random: () => number): number {
  const delay = Math.min(maxDelayMs, baseDelayMs * factor ** Math.min(failures - 1, 32));
  return delay * (1 + jitter * (2 * random() - 1));
}
