/**
 * A daily span of time on some weekdays. Minutes since midnight; an end not after the start is on
 * the next day.
 */
export interface MaintenanceWindow {
  /** 0 = Sunday; the day on which the window begins. */
  readonly days: ReadonlySet<number>;
  readonly fromMinute: number;
  readonly toMinute: number;
}

const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const dayMinutes = 24 * 60;

/**
 * Reads `22:00-06:00` (every day), `Mon-Fri 01:00-05:00`, `Sat,Sun 00:00-24:00`; undefined for
 * anything else.
 */
export function parseWindow(text: string): MaintenanceWindow | undefined {
  const match = /^(?:(\S+)\s+)?(\d{1,2}:\d{2})-(\d{1,2}:\d{2})$/.exec(text.trim());
  if (match == null) return undefined;
  const days = match[1] === undefined ? new Set(dayNames.keys()) : parseDays(match[1]);
  const fromMinute = parseMinute(match[2] ?? '');
  const toMinute = parseMinute(match[3] ?? '');
  if (days === undefined || fromMinute === undefined || toMinute === undefined) return undefined;
  if (fromMinute === toMinute || fromMinute === dayMinutes) return undefined;
  return { days, fromMinute, toMinute };
}

function parseDays(text: string): Set<number> | undefined {
  const days = new Set<number>();
  for (const part of text.toLowerCase().split(',')) {
    const [first = '', last = first, ...more] = part.split('-');
    const from = dayNames.indexOf(first);
    const to = dayNames.indexOf(last);
    if (from < 0 || to < 0 || more.length > 0) return undefined;
    for (let day = from; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === to) break;
    }
  }
  return days;
}

function parseMinute(text: string): number | undefined {
  const [hour = 0, minute = 0] = text.split(':').map(Number);
  const sum = hour * 60 + minute;
  return minute < 60 && sum <= dayMinutes ? sum : undefined;
}

/** Whether the name means a time zone here. */
export function isTimeZone(name: string): boolean {
  try {
    clockOf(name);
    return true;
  } catch {
    return false;
  }
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** Making a formatter costs a millisecond, so each is made once. */
function clockOf(timeZone: string): Intl.DateTimeFormat {
  let clock = clocks.get(timeZone);
  if (clock === undefined) {
    clock = new Intl.DateTimeFormat('en-US', {
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
      timeZone: timeZone === '' ? undefined : timeZone,
    });
    clocks.set(timeZone, clock);
  }
  return clock;
}

/**
 * Whether a collection may start by itself at `now` (ms since the epoch): always without windows,
 * else inside one of them. A window over midnight belongs to the day on which it begins.
 */
export function inMaintenance(
  policy: { readonly maintenanceWindows: readonly string[]; readonly maintenanceTimeZone: string },
  now: number,
): boolean {
  if (policy.maintenanceWindows.length === 0) return true;
  const parts = clockOf(policy.maintenanceTimeZone).formatToParts(now);
  const part = (type: Intl.DateTimeFormatPartTypes) =>
    parts.find((one) => one.type === type)?.value ?? '';
  const day = dayNames.indexOf(part('weekday').toLowerCase());
  const minute = Number(part('hour')) * 60 + Number(part('minute'));
  return policy.maintenanceWindows.some((text) => {
    const window = parseWindow(text);
    return window !== undefined && isInside(window, day, minute);
  });
}

function isInside({ days, fromMinute, toMinute }: MaintenanceWindow, day: number, minute: number) {
  if (fromMinute < toMinute) return days.has(day) && minute >= fromMinute && minute < toMinute;
  if (days.has(day) && minute >= fromMinute) return true;
  return days.has((day + 6) % 7) && minute < toMinute;
}
