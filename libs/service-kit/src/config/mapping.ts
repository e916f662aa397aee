/** Keys and values of a configuration file or of a section in it. */
export type Mapping = Readonly<Record<string, unknown>>;

export const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value != null && !Array.isArray(value);

/** What a value is that should have been a mapping, as in `a list`. */
export const kindOf = (value: unknown): string =>
  Array.isArray(value) ? 'a list' : `a ${typeof value}`;
