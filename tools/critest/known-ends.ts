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

const absentImage = 'its image cannot be made without the registry it comes from';

/** What docker-shim does not pass on Docker Engine 20.10 of Debian 12. */
export const endsOnDocker: readonly KnownEnd[] = [
  { name: /benchmark/i, outcome: 'skipped', reason: 'benchmarks, which run only when asked for' },
  { name: /\bAppArmor\b/, outcome: 'skipped', reason: 'the node has no AppArmor' },
  { name: /\bNRI\b/, outcome: 'skipped', reason: 'Docker Engine has no NRI' },
  { name: /UserNamespaces/, outcome: 'skipped', reason: 'Docker has none for a pod' },
  { name: /Image Volume/, outcome: 'skipped', reason: 'needs Docker Engine 28 (API 1.48)' },
  {
    name: /recursive readonly mount/,
    outcome: 'skipped',
    reason: 'needs Docker Engine 25 (API 1.44) and Linux 5.12',
  },
  {
    name: /Mount Propagation|Privileged is true|adding ALL capabilities|when privileged/,
    outcome: 'failed',
    reason:
      'a machine whose root lacks capabilities starts no privileged container; passes on others',
  },
  {
    name: /public image with digest|NoNewPrivs|MaskedPaths/,
    outcome: 'failed',
    reason: absentImage,
  },
];
