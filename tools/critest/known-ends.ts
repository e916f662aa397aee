import type { SpecResult } from './compare';

/** A spec that does not pass on a way, and why. */
export interface KnownEnd {
  /** Of the spec's name. */
  readonly name: RegExp;
  readonly outcome: 'failed' | 'skipped';
  readonly reason: string;
}

/** What a way is judged by where its specs have to pass, but for known ones. */
export interface Judged {
  /** Specs that did not pass, for reasons that are not known. */
  readonly unexplained: readonly SpecResult[];
  /** Known ones, each with the specs that it explains. */
  readonly explained: readonly { readonly known: KnownEnd; readonly specs: readonly string[] }[];
}

/** Sorts the specs that did not pass by the known end that explains them. */
export function judge(results: readonly SpecResult[], known: readonly KnownEnd[]): Judged {
  const open = results.filter(({ outcome }) => outcome !== 'passed');
  const explains = (spec: SpecResult) =>
    known.find(({ name, outcome }) => outcome === spec.outcome && name.test(spec.name));
  return {
    unexplained: open.filter((spec) => explains(spec) === undefined),
    explained: known
      .map((one) => ({
        known: one,
        specs: open.filter((spec) => explains(spec) === one).map(({ name }) => name),
      }))
      .filter(({ specs }) => specs.length > 0),
  };
}

/** What docker-shim does not pass on Docker Engine 20.10 of Debian 12. */
export const endsOnDocker: readonly KnownEnd[] = [
  { name: /benchmark/i, outcome: 'skipped', reason: 'benchmarks, which run only when asked for' },
];
