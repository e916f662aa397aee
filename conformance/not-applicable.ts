/** A section that Stowage does not implement on purpose. */
export interface NotApplicableSection {
  /** Vector file without `.json`. */
  readonly file: string;
  readonly section: string;
  readonly reason: string;
}

/** Sections that are counted as not applicable, each with its reason. */
export const notApplicableSections: readonly NotApplicableSection[] = [
  {
    file: 'endpoints',
    section: 'windows_split',
    reason: 'Windows named pipes: Stowage runs on Linux nodes only',
  },
  {
    file: 'endpoints',
    section: 'windows_dial',
    reason: 'Windows named pipes: Stowage runs on Linux nodes only',
  },
];
