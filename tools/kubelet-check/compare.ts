import type { KnownDifference } from './known-differences';

/**
 * What a scenario saw: a name for each thing looked at, and what it was, as text that does not
 * depend on the run.
 */
export type Observations = Readonly<Record<string, string>>;

/** What has to be seen on every way, the runtime itself included. */
export type Expected = Readonly<Record<string, string | RegExp>>;

/** Something that was seen otherwise than it should have been. */
export interface Difference {
  readonly what: string;
  /**
   * What it should have been: what was seen on the runtime itself, or what the scenario expects.
   */
  readonly wanted: string;
  readonly seen: string;
  /** Of the known difference that explains it; undefined where none does. */
  readonly reason?: string;
}

const absent = '(absent)';

/** Starts the name of an observation that there is only where Stowage is. */
export const ofStowage = 'stowage: ';

/** What was seen otherwise through a way than on the runtime itself. */
export function differences(
  scenario: string,
  own: Observations,
  through: Observations,
  known: readonly KnownDifference[],
): Difference[] {
  const names = new Set([...Object.keys(own), ...Object.keys(through)]);
  return [...names].sort().flatMap((what) => {
    if (what.startsWith(ofStowage)) return [];
    const [wanted, seen] = [own[what] ?? absent, through[what] ?? absent];
    if (wanted === seen) return [];
    const reason = known.find((one) => explains(one, scenario, what, wanted, seen))?.reason;
    return [{ what, wanted, seen, reason }];
  });
}

function explains(
  known: KnownDifference,
  scenario: string,
  what: string,
  own: string,
  through: string,
): boolean {
  if (known.scenario !== scenario || !known.what.test(what)) return false;
  if (known.without === undefined) return known.through?.test(through) ?? false;
  return own.replace(known.without, '') === through.replace(known.without, '');
}

/**
 * What was seen on one way otherwise than the scenario expects. `isBare`: there is nothing of
 * Stowage on it.
 */
export function surprises(
  expected: Expected,
  seen: Observations,
  { isBare }: { isBare: boolean },
): Difference[] {
  return Object.entries(expected).flatMap(([what, wanted]) => {
    if (isBare && what.startsWith(ofStowage)) return [];
    const value = seen[what] ?? absent;
    const isExpected = typeof wanted === 'string' ? value === wanted : wanted.test(value);
    return isExpected ? [] : [{ what, wanted: String(wanted), seen: value }];
  });
}
