/** Factors of the suffixes that a Kubernetes quantity may have, as numerator and denominator. */
const factors: Readonly<Record<string, readonly [bigint, bigint]>> = {
  n: [1n, 10n ** 9n],
  u: [1n, 10n ** 6n],
  m: [1n, 10n ** 3n],
  '': [1n, 1n],
  k: [10n ** 3n, 1n],
  M: [10n ** 6n, 1n],
  G: [10n ** 9n, 1n],
  T: [10n ** 12n, 1n],
  P: [10n ** 15n, 1n],
  E: [10n ** 18n, 1n],
  Ki: [2n ** 10n, 1n],
  Mi: [2n ** 20n, 1n],
  Gi: [2n ** 30n, 1n],
  Ti: [2n ** 40n, 1n],
  Pi: [2n ** 50n, 1n],
  Ei: [2n ** 60n, 1n],
};

/** A longer number is no rate; this keeps the work on a text small. */
const maxDigits = 64;
const maxExponent = 30;

const quantity =
  /^\+?(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+)|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$/;

/** Lowest and highest rate that is sensible: 1k and 1P. */
const lowest = 1000n;
const highest = 10n ** 15n;

/** What {@link parseBitRate} takes, for error texts. */
export const allowedBitRate = 'a quantity of bits per second from 1k to 1P';

/**
 * Bits per second of a Kubernetes quantity (`10M`, `1.5Gi`, `1e6`), rounded up; undefined when the
 * text is none, or not from 1k to 1P.
 */
export function parseBitRate(text: string): number | undefined {
  const match = text.length > maxDigits ? null : quantity.exec(text);
  if (match == null) return undefined;
  const [, whole = '', after = '', only = '', exponentText = '0', suffix = ''] = match;
  const fraction = after + only;
  const exponent = Number(exponentText);
  if (Math.abs(exponent) > maxExponent) return undefined;
  const [numerator, denominator] = factors[suffix] ?? [1n, 1n];
  const scale = 10n ** BigInt(Math.abs(exponent));
  const above = BigInt(whole + fraction) * numerator * (exponent > 0 ? scale : 1n);
  const below = 10n ** BigInt(fraction.length) * denominator * (exponent < 0 ? scale : 1n);
  const rate = (above + below - 1n) / below;
  return rate < lowest || rate > highest ? undefined : Number(rate);
}
