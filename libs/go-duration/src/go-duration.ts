const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y;

/**
 * Milliseconds of a duration in Go's notation, the one kubelet's configuration uses: `2m`, `1h30m`,
 * `1.5s`, `-10s`, and a bare `0`. Undefined when the text is none. Values below a millisecond keep
 * their fraction.
 */
export function parseGoDuration(text: string): number | undefined {
  const sign = text.startsWith('-') ? -1 : 1;
  const digits = /^[+-]/.test(text) ? text.slice(1) : text;
  if (digits === '0') return 0;
  if (digits === '') return undefined;
  let totalMs = 0;
  part.lastIndex = 0;
  while (part.lastIndex < digits.length) {
    const match = part.exec(digits);
    const unit = match == null ? undefined : unitMs[match[2] ?? ''];
    if (match == null || unit === undefined) return undefined;
    totalMs += Number(match[1]) * unit;
  }
  return totalMs === 0 ? 0 : sign * totalMs;
}

/**
 * A duration as Go prints it, because kubelet's messages hold such texts: `2m0s`, `1h0m0.5s`,
 * `500ms`, `1.5ms`, `0s`. `durationMs` is milliseconds.
 */
export function formatGoDuration(durationMs: number): string {
  if (durationMs === 0) return '0s';
  const sign = durationMs < 0 ? '-' : '';
  const rest = Math.abs(durationMs);
  if (rest < 0.001) return `${sign}${decimal(rest * 1e6)}ns`;
  if (rest < 1) return `${sign}${decimal(rest * 1e3)}µs`;
  if (rest < 1000) return `${sign}${decimal(rest)}ms`;
  const hours = Math.floor(rest / 3_600_000);
  const minutes = Math.floor((rest % 3_600_000) / 60_000);
  const seconds = `${decimal((rest % 60_000) / 1000)}s`;
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}

/** At most nine digits after the point, no trailing zeros: Go counts in nanoseconds. */
const decimal = (value: number): string => String(Number(value.toFixed(9)));

/**
 * The shortest text that Go reads as this duration, as people write it: `2m`, `1h30m`, `1.5s`,
 * `250ms`, `0`.
 */
export function shortGoDuration(durationMs: number): string {
  if (durationMs === 0) return '0';
  // Without the units of which there are none.
  return formatGoDuration(durationMs).replace(/(?<=[hm])0[ms]/g, '');
}
