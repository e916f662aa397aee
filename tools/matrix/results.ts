import type { KnownDifference } from './known-differences';

/** Versions of what a run was on. */
export interface Versions {
  system: string;
  containerd: string;
  runc: string;
  nats: string;
  node: string;
  kernel: string;
  /** Docker Engine. */
  docker?: string;
  /** Where tests ran on it instead of containerd. */
  crio?: string;
  /** Where it started the containers instead of runc. */
  crun?: string;
}

/** How the run of one name ended. */
export interface MatrixResult {
  name: string;
  /** `YYYY-MM-DD` */
  date: string;
  /** Of the code that ran: its working tree is what this commit holds. */
  commit: string;
  versions: Versions;
  passed: number;
  /** Failures that no known difference explains. */
  failed: number;
  /** What failed for a known reason, and what holds on another runtime alone. */
  known: { test: string; reason: string }[];
  demo: 'passed' | 'failed' | 'not run';
  critest: 'passed' | 'failed' | 'not installed' | 'not run';
}

/** Whether nothing failed without an explanation. */
export const isPassed = ({ failed, demo, critest }: MatrixResult): boolean =>
  failed === 0 && demo !== 'failed' && critest !== 'failed';

/** What `npm test` printed at its end. */
export interface TestRun {
  passed: number;
  failed: number;
  /** `FILE: TITLE` of each failure it lists. Fewer than `failed` where one has no title. */
  failures: string[];
  /** `FILE: TITLE` of each test that was skipped. */
  skipped: string[];
  /** `FILE: TITLE` of each test that failed, and passed when its file was run once more. */
  flaky: string[];
}

/**
 * Reads the output of tools/test.mjs; undefined when it does not end with its totals, so was broken
 * off.
 */
export function readTestRun(output: string): TestRun | undefined {
  const totals = /\n(\d+) passed, (\d+) failed\s*$/.exec(output);
  if (totals == null) return undefined;
  const listed = (how: string): string[] =>
    [...output.matchAll(new RegExp(`^ {2}${how}: (.+)$`, 'gm'))].map(([, test = '']) => test);
  return {
    passed: Number(totals[1]),
    failed: Number(totals[2]),
    failures: listed('failed'),
    skipped: listed('skipped'),
    flaky: listed('flaky'),
  };
}

/** Several runs as one. */
export const together = (runs: readonly TestRun[]): TestRun => ({
  passed: runs.reduce((sum, { passed }) => sum + passed, 0),
  failed: runs.reduce((sum, { failed }) => sum + failed, 0),
  failures: runs.flatMap(({ failures }) => failures),
  skipped: runs.flatMap(({ skipped }) => skipped),
  flaky: runs.flatMap(({ flaky }) => flaky),
});

/** The first with images of containerd's. */
const firstWithContainerdImages = 24;

/** Whether an engine of these versions can keep its images with containerd. */
export const hasContainerdImages = ({ docker = '0' }: Versions): boolean =>
  Number.parseInt(docker, 10) >= firstWithContainerdImages;

/** A test that says itself why it is skipped: {@link testOn} of libs/testing. */
const skippedWithReason = /^(.+) \((only on [^:()]+: .+)\)$/;

/**
 * Tells what a known difference explains, or a skipped test itself, from what nothing does. A test
 * that is skipped without a reason counts as a failure.
 */
export function explain(
  name: string,
  { failed, failures, skipped, flaky }: TestRun,
  differences: readonly KnownDifference[],
): { known: MatrixResult['known']; unexplained: string[]; failed: number } {
  const known: MatrixResult['known'] = [];
  const unexplained: string[] = [];
  for (const test of failures) {
    const difference = differences.find((one) => one.names.includes(name) && one.test.test(test));
    if (difference === undefined) unexplained.push(test);
    else known.push({ test, reason: difference.reason });
  }
  const left = failed - known.length;
  const silent: string[] = [];
  for (const title of skipped) {
    const [, test, reason] = skippedWithReason.exec(title) ?? [];
    if (test === undefined || reason === undefined) silent.push(`${title} (skipped)`);
    else known.push({ test, reason });
  }
  const reason = 'it failed once, and passed when its file was run once more';
  known.push(...flaky.map((test) => ({ test, reason })));
  return { known, unexplained: [...unexplained, ...silent], failed: left + silent.length };
}

/** Prints what {@link readVersions} reads, a part to a line. */
export const versionsScript = `
. /etc/os-release; echo "system $PRETTY_NAME"
echo "containerd $(containerd --version)"
echo "runc $(runc --version | head -n 1)"
echo "nats $(nats-server --version)"
echo "node $(node --version)"
echo "kernel $(uname -r)"
! command -v dockerd > /dev/null || echo "docker $(dockerd --version)"
[ -z "\${STOWAGE_TEST_CRIO:-}" ] || echo "crio $("$STOWAGE_TEST_CRIO" --version)"
[ "\${STOWAGE_TEST_OCI_RUNTIME:-}" != crun ] || echo "crun $(crun --version)"
`;

/** @throws when a part has no version. */
export function readVersions(output: string): Versions {
  const line = (part: string): string =>
    new RegExp(`^${part} (.*)$`, 'm').exec(output)?.[1]?.trim() ?? '';
  const version = (part: string): string => {
    const found = /\d+\.\d+(\.\d+)?/.exec(line(part))?.[0];
    if (found === undefined) throw new Error(`no version of ${part}: ${line(part)}`);
    return found;
  };
  const optional = (part: 'docker' | 'crio' | 'crun') =>
    line(part) === '' ? {} : { [part]: version(part) };
  return {
    system: line('system'),
    containerd: version('containerd'),
    runc: version('runc'),
    nats: version('nats'),
    node: version('node'),
    kernel: line('kernel'),
    ...optional('docker'),
    ...optional('crio'),
    ...optional('crun'),
  };
}

/**
 * The former results with those of the same names replaced, in the order of `names`. A name that is
 * no longer there goes.
 */
export function mergeResults(
  former: readonly MatrixResult[],
  fresh: readonly MatrixResult[],
  names: readonly string[],
): MatrixResult[] {
  const of = (results: readonly MatrixResult[], name: string) =>
    results.find((result) => result.name === name);
  return names.flatMap((name) => of(fresh, name) ?? of(former, name) ?? []);
}

/** Whether a name has nothing left to do: it has passed with this very code. */
export const isDone = (name: string, commit: string, results: readonly MatrixResult[]): boolean =>
  results.some((result) => result.name === name && result.commit === commit && isPassed(result));
