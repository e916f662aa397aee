/** What the functions read of a file in jest's JSON report. */
export interface FileResult {
  name: string;
  status: string;
  assertionResults: { ancestorTitles: string[]; title: string; status: string }[];
  /** Titles of what failed in the first of two runs. */
  firstFailures?: string[];
}
export interface RunResult {
  testResults: FileResult[];
}
/** Numbers of tests; a file that cannot be run counts as a failure. */
export function countsOf(result: RunResult | undefined): {
  passed: number;
  failed: number;
  skipped: number;
};
/** Paths of the files in which something failed. */
export function failedFiles(result: RunResult | undefined): string[];
/** The first result with the files that were run once more as they ended then. */
export function afterAnotherRun(first: RunResult, second: RunResult | undefined): RunResult;
/** A line for each failed, skipped and flaky test, and for each file that could not be run. */
export function linesOf(result: RunResult | undefined, root: string): string[];
