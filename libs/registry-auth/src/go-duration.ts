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

const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

/** Milliseconds of a duration as Kubernetes writes it (`1h30m`, `0s`, `-5s`, `0`); undefined for anything else. */
export function parseGoDuration(text: string): number | undefined {
  const [, sign = '', rest = ''] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === '0') return 0;
  let totalMs = 0;
  part.lastIndex = 0;
  while (part.lastIndex < rest.length || rest === '') {
    const found = part.exec(rest);
    if (found == null) return undefined;
    totalMs += Number(found[1]) * (unitMs[found[2] ?? ''] ?? 0);
  }
  return sign === '-' ? -totalMs : totalMs;
}
