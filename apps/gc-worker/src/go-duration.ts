/**
 * A time span as Go prints it (`2m0s`, `1h30m0s`, `500ms`, `1.5s`, `0s`), because kubelet's messages hold such texts.
 * `ms` is milliseconds; negative spans get a minus sign.
 */
export function goDurationText(ms: number): string {
  if (ms === 0) return '0s';
  const sign = ms < 0 ? '-' : '';
  const rest = Math.abs(ms);
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
