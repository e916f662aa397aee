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
 * Milliseconds of a duration in Go's notation, the one kubelet's configuration uses: `2m`, `1h30m`, `1.5s`,
 * `-10s`, and a bare `0`. Undefined when the text is none. Values below a millisecond keep their fraction.
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

/** The shortest of Go's notations for whole milliseconds: `2m`, `1h30m`, `1.5s`, `250ms`, `0`. */
export function formatGoDuration(durationMs: number): string {
  if (durationMs === 0) return '0';
  const sign = durationMs < 0 ? '-' : '';
  let rest = Math.abs(durationMs);
  if (rest < 1000) return `${sign}${rest}ms`;
  const hours = Math.floor(rest / 3_600_000);
  rest -= hours * 3_600_000;
  const minutes = Math.floor(rest / 60_000);
  rest -= minutes * 60_000;
  return [
    sign,
    hours > 0 ? `${hours}h` : '',
    minutes > 0 ? `${minutes}m` : '',
    rest > 0 ? `${Number((rest / 1000).toFixed(6))}s` : '',
  ].join('');
}
