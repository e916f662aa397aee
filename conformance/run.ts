import { isDeepStrictEqual } from 'node:util';
import type { Adapters } from './adapters';
import type { NotApplicableSection } from './not-applicable';
import type { ConformanceCase, ConformanceOutcome, SectionAdapter } from './types';
import type { VectorFile, VectorSection } from './vectors';

export interface CaseFailure {
  readonly id: string;
  readonly want: string;
  readonly got: string;
}

export interface SectionReport {
  readonly file: string;
  readonly section: string;
  readonly passed: number;
  readonly failures: readonly CaseFailure[];
  /** Number of cases that do not apply to Stowage. */
  readonly notApplicable: number;
  /** Why the section's cases do not apply. */
  readonly reason?: string;
  /** Number of cases that no adapter runs; above 0 the section is not covered. */
  readonly uncovered: number;
}

export interface ConformanceReport {
  readonly sections: readonly SectionReport[];
  /** Files of the folder that nothing implements yet, with their number of cases. */
  readonly pending: readonly { readonly file: string; readonly cases: number }[];
  /** Files listed as pending although an adapter for them exists. */
  readonly wronglyPending: readonly string[];
}

export interface ConformanceRun {
  readonly vectors: readonly VectorFile[];
  readonly adapters: Adapters;
  readonly pendingFiles: readonly string[];
  readonly notApplicable: readonly NotApplicableSection[];
}

/**
 * Runs all cases one after the other and says what came out. Never throws for what an adapter does.
 */
export async function runConformance(run: ConformanceRun): Promise<ConformanceReport> {
  const sections: SectionReport[] = [];
  const pending: { file: string; cases: number }[] = [];
  for (const vector of run.vectors) {
    const adapters = run.adapters.get(vector.file);
    if (adapters === undefined && run.pendingFiles.includes(vector.file)) {
      const cases = vector.sections.reduce((sum, section) => sum + section.cases.length, 0);
      pending.push({ file: vector.file, cases });
      continue;
    }
    for (const section of vector.sections) {
      const excluded = run.notApplicable.find(
        (entry) => entry.file === vector.file && entry.section === section.section,
      );
      const adapter = adapters?.get(section.section);
      sections.push(await runSection(vector.file, section, adapter?.run, excluded?.reason));
    }
  }
  const wronglyPending = run.pendingFiles.filter((file) => run.adapters.has(file));
  return { sections, pending, wronglyPending };
}

/** True when every case of every file passed or does not apply. */
export function isConformant(report: ConformanceReport): boolean {
  return (
    report.pending.length === 0 &&
    report.wronglyPending.length === 0 &&
    report.sections.every(({ failures, uncovered }) => failures.length === 0 && uncovered === 0)
  );
}

async function runSection(
  file: string,
  { section, cases }: VectorSection,
  adapter: SectionAdapter | undefined,
  notApplicableReason: string | undefined,
): Promise<SectionReport> {
  const base = { file, section, passed: 0, failures: [], notApplicable: 0, uncovered: 0 };
  if (notApplicableReason !== undefined) {
    return { ...base, notApplicable: cases.length, reason: notApplicableReason };
  }
  if (adapter === undefined) return { ...base, uncovered: Math.max(cases.length, 1) };
  const failures: CaseFailure[] = [];
  for (const testCase of cases) {
    const failure = await runCase(testCase, adapter);
    if (failure !== undefined) failures.push(failure);
  }
  return { ...base, passed: cases.length - failures.length, failures };
}

async function runCase(
  testCase: ConformanceCase,
  adapter: SectionAdapter,
): Promise<CaseFailure | undefined> {
  let outcome: ConformanceOutcome;
  try {
    outcome = await adapter(testCase);
  } catch (error) {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { id: testCase.id, want: 'no throw', got: `threw ${message}` };
  }
  const want = comparable(outcome.want);
  const got = comparable(outcome.got);
  if (isDeepStrictEqual(want, got)) return undefined;
  return { id: testCase.id, want: text(want), got: text(got) };
}

/** Plain copy without keys that are undefined, so that "absent" has one form. */
function comparable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value == null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== undefined)
      .map(([key, entry]) => [key, comparable(entry)]),
  );
}

function text(value: unknown): string {
  const json = JSON.stringify(value, (_, entry: unknown) =>
    typeof entry === 'bigint' ? `${entry}n` : entry,
  ) as string | undefined;
  return json ?? 'undefined';
}
