import { randomBytes } from 'node:crypto';

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

function base32(value: bigint, length: number): string {
  let text = '';
  for (let rest = value; text.length < length; rest >>= 5n) {
    text = (alphabet[Number(rest & 31n)] ?? '') + text;
  }
  return text;
}

/**
 * Makes ULIDs (26 characters: 48 bits of milliseconds, 80 random bits) that rise strictly within this generator:
 * in one millisecond, or when the clock steps back, the random part counts up from the last one.
 */
export function ulidGenerator(random: () => bigint = random80): (time: Date) => string {
  let lastMs = -1;
  let lastRandom = 0n;
  return (time) => {
    const ms = time.getTime();
    if (ms > lastMs) {
      lastMs = ms;
      // The top bit stays clear, so that counting up cannot overflow.
      lastRandom = random() & ((1n << 79n) - 1n);
    } else {
      lastRandom += 1n;
    }
    return base32(BigInt(lastMs), 10) + base32(lastRandom, 16);
  };
}

function random80(): bigint {
  return BigInt(`0x${randomBytes(10).toString('hex')}`);
}

/** A new ULID, for ids of pulls and plans. */
export const newUlid: (time?: Date) => string = (() => {
  const next = ulidGenerator();
  return (time = new Date()) => next(time);
})();
