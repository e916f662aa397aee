const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes for people, as in `1.5 GiB`; negative ones too. */
export function sizeText(sizeBytes: number): string {
  let value = Math.abs(sizeBytes);
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 ? String(value) : value.toFixed(1);
  return `${sizeBytes < 0 ? '-' : ''}${digits} ${units[unit] ?? 'B'}`;
}

const steps = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** A time span for people, its two largest parts: `3d4h`, `2m10s`, `850ms`. */
export function spanText(spanMs: number): string {
  const total = Math.max(0, Math.round(spanMs));
  if (total < 1000) return `${total}ms`;
  const at = steps.findIndex(([, ms]) => total >= ms);
  const [name, ms] = steps[at] ?? ['s', 1000];
  const whole = Math.floor(total / ms);
  const [smaller, smallerMs] = steps[at + 1] ?? [];
  const rest = smallerMs === undefined ? 0 : Math.floor((total - whole * ms) / smallerMs);
  return `${whole}${name}${rest > 0 ? `${rest}${smaller ?? ''}` : ''}`;
}

/** How long ago a time was, as in `3h`; `-` for none. */
export function ageText(time: string | null | undefined, now: number): string {
  if (time == null) return '-';
  return spanText(now - Date.parse(time)).replace(/^(\d+[dh]).*$/, '$1');
}

const spanUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of `90s`, `1h30m`, `2d`; undefined for anything else. */
export function parseSpan(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, value, unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(value) * (spanUnits[unit] ?? 0);
  }
  return total;
}
