import { randomFillSync } from 'node:crypto';

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const timeDigits = 10;
const randomDigits = 16;

/** Random digits to the base of 32, the first below 16: counting up from them cannot overflow. */
type RandomDigits = (digits: Uint8Array) => void;

/**
 * Makes ULIDs (26 characters: 48 bits of milliseconds, 80 random bits) that rise strictly within
 * this generator: in one millisecond, or when the clock steps back, the random part counts up from
 * the last one.
 */
export function ulidGenerator(random: RandomDigits = pooledDigits()): (time: Date) => string {
  let lastMs = -1;
  let prefix = '';
  const digits = new Uint8Array(randomDigits);
  return (time) => {
    const ms = time.getTime();
    if (ms > lastMs) {
      lastMs = ms;
      prefix = timePart(ms);
      random(digits);
    } else {
      countUp(digits);
    }
    let text = prefix;
    for (const digit of digits) text += alphabet[digit] ?? '';
    return text;
  };
}

function timePart(ms: number): string {
  let text = '';
  for (let rest = ms; text.length < timeDigits; rest = Math.floor(rest / 32)) {
    text = (alphabet[rest % 32] ?? '') + text;
  }
  return text;
}

function countUp(digits: Uint8Array): void {
  for (let place = digits.length - 1; place >= 0; place--) {
    const digit = ((digits[place] ?? 0) + 1) % 32;
    digits[place] = digit;
    if (digit !== 0) return;
  }
}

/** Takes many random bytes at once: asking for a few costs as much. */
function pooledDigits(): RandomDigits {
  const pool = new Uint8Array(64 * randomDigits);
  let used = pool.length;
  return (digits) => {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    for (let place = 0; place < digits.length; place++) {
      digits[place] = (pool[used + place] ?? 0) & (place === 0 ? 15 : 31);
    }
    used += digits.length;
  };
}

/** A new ULID, for ids of pulls and plans. */
export const newUlid: (time?: Date) => string = (() => {
  const next = ulidGenerator();
  return (time = new Date()) => next(time);
})();
