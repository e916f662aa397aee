/**
 * What every case of a vector file has. An adapter declares the rest of its case's fields itself.
 */
export interface ConformanceCase {
  /** Unique within its file. Adapters never decide by it. */
  readonly id: string;
  /** The test the case was taken from, or `derived`. */
  readonly src?: string;
}

/**
 * What an adapter says about one case: the wanted and the observed result in one shape of the
 * adapter's choice. The runner compares them deeply; key order and keys that are `undefined` do not
 * count.
 */
export interface ConformanceOutcome {
  readonly want: unknown;
  readonly got: unknown;
}

/**
 * Runs one case of a section. A throw counts as a failure of that case. (The method type lets an
 * adapter narrow the parameter to the fields of its own section.)
 */
export type SectionAdapter = {
  run(testCase: ConformanceCase): ConformanceOutcome | Promise<ConformanceOutcome>;
}['run'];

/**
 * Export named `conformance` of a `*.conformance.ts` file. Several adapters may share one vector
 * file.
 */
export interface ConformanceAdapter {
  /** Vector file without `.json`. */
  readonly file: string;
  /** Section name in `cases` to the code that runs it. */
  readonly sections: Readonly<Record<string, SectionAdapter>>;
}
