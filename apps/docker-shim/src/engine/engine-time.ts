const form = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)$/;

/** A time as the engine writes it (RFC 3339), in nanoseconds since 1970; 0 for none. */
export function nsOf(text: string | null | undefined): bigint {
  const [, seconds, fraction = '', zone] = form.exec(text ?? '') ?? [];
  if (seconds === undefined || zone === undefined) return 0n;
  const ms = Date.parse(seconds + zone);
  // Go's zero time lies in the year 1.
  if (!(ms > 0)) return 0n;
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
