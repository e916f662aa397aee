/** How one spec ended. `skipped` stands for every end that says nothing about the runtime. */
export type Outcome = 'passed' | 'failed' | 'skipped';

export interface SpecResult {
  /**
   * The texts of the spec and of all it lies in; with a number where several specs have the same.
   */
  readonly name: string;
  readonly outcome: Outcome;
  /** Why it failed or was skipped. */
  readonly message?: string;
  /** The two outermost texts that it lies in: specs of one group share what they ask first. */
  readonly group?: string;
}

/** The part of a Ginkgo 2 JSON report that is read. */
interface GinkgoSuite {
  readonly SpecReports?:
    | {
        readonly ContainerHierarchyTexts?: readonly string[] | null;
        readonly LeafNodeType: string;
        readonly LeafNodeText: string;
        readonly State: string;
        readonly Failure?: { readonly Message?: string };
      }[]
    | null;
}

/**
 * The specs of a Ginkgo JSON report, by name. Set-up and clean-up of the suite count only where
 * they failed.
 *
 * @throws {SyntaxError} when `text` is not such a report.
 */
export function readReport(text: string): SpecResult[] {
  const suites = JSON.parse(text) as readonly GinkgoSuite[];
  if (!Array.isArray(suites)) throw new SyntaxError('not a list of Ginkgo suites');
  const seen = new Map<string, number>();
  return suites
    .flatMap(({ SpecReports }: GinkgoSuite) => SpecReports ?? [])
    .flatMap((spec): SpecResult[] => {
      const outcome = outcomeOf(spec.State);
      const isSpec = spec.LeafNodeType === 'It';
      if (!isSpec && outcome !== 'failed') return [];
      const texts = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText];
      const plain = texts.filter((part) => part !== '').join(' ') || spec.LeafNodeType;
      const count = (seen.get(plain) ?? 0) + 1;
      seen.set(plain, count);
      const name = count === 1 ? plain : `${plain} (${count})`;
      const group = (spec.ContainerHierarchyTexts ?? []).slice(0, 2).join(' ');
      return [{ name, outcome, message: spec.Failure?.Message, group }];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const outcomeOf = (state: string): Outcome => {
  if (state === 'passed') return 'passed';
  return state === 'skipped' || state === 'pending' ? 'skipped' : 'failed';
};

/** A spec that did not end as it does on the runtime itself. */
export interface Difference {
  readonly name: string;
  readonly direct: Outcome | 'absent';
  readonly through: Outcome | 'absent';
  readonly message?: string;
}

/** The specs that ended in another way through the suite than on the runtime itself, by name. */
export function differences(
  direct: readonly SpecResult[],
  through: readonly SpecResult[],
): Difference[] {
  const ends = new Map(direct.map((spec) => [spec.name, spec]));
  const others = new Map(through.map((spec) => [spec.name, spec]));
  return [...new Set([...ends.keys(), ...others.keys()])].sort().flatMap((name) => {
    const own = ends.get(name)?.outcome ?? 'absent';
    const other = others.get(name);
    const there = other?.outcome ?? 'absent';
    const message = other?.message ?? ends.get(name)?.message;
    return own === there ? [] : [{ name, direct: own, through: there, message }];
  });
}

/**
 * What is wrong on a read-only socket: a spec that passed although it does not on the runtime
 * itself, or that failed there for another reason than that a call was refused. `readsOnly` are the
 * specs that have to pass, because they change nothing.
 *
 * A group of specs asks Status once, with verbose, for what the runtime can do: the spec that asks
 * fails, because that is refused, and the others are skipped, because they know of nothing that it
 * can. That is as it should be.
 */
export function readonlyViolations(
  direct: readonly SpecResult[],
  through: readonly SpecResult[],
  readsOnly: RegExp,
): Difference[] {
  const without = new Set(
    through.filter(({ message }) => isVerboseStatusRefusal(message)).map(({ group }) => group),
  );
  const refused = new Set(
    through
      .filter(({ name }) => !readsOnly.test(name))
      .filter(
        ({ outcome, message, group }) =>
          isRefusal(message) ||
          (outcome === 'skipped' && group !== undefined && without.has(group)),
      )
      .map(({ name }) => name),
  );
  return differences(direct, through).filter(({ name }) => !refused.has(name));
}

const isVerboseStatusRefusal = (message = ''): boolean =>
  isRefusal(message) && /\/Status with verbose is not allowed/.test(message);

const isRefusal = (message = ''): boolean => /PermissionDenied|<codes\.Code>: 7\b/.test(message);

/** How often each outcome was seen. */
export function count(results: readonly SpecResult[]): Record<Outcome, number> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { outcome } of results) counts[outcome]++;
  return counts;
}

/** A regular expression for `--ginkgo.focus` that picks the specs of this name. */
export const focusOn = (name: string): string =>
  `${name
    .replace(/ \(\d+\)$/, '')
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replace(/\s+/g, '\\s+')}$`;
