/** A test that fails on some versions, for a reason that lies outside of this project. */
export interface KnownDifference {
  /** Names of the matrix that it fails on. */
  readonly names: readonly string[];
  /** Matches the file and full title, as `npm test` lists a failed test. */
  readonly test: RegExp;
  /** One sentence for the table's readers: what the runtime, server or kernel does otherwise. */
  readonly reason: string;
}

/**
 * Failures that are counted apart from the others. Prefer a test that asks the runtime what it is
 * (libs/testing's `Runtime` and `testOn`) over an entry here.
 */
export const knownDifferences: readonly KnownDifference[] = [];
