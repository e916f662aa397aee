/**
 * The fields of `got` that `want` has too, and those of `always`, which are wanted to be absent
 * where a case does not name them; `got` itself where there are no fields. So a case can leave out
 * what it is not about.
 */
export function pickLike(want: unknown, got: unknown, always: readonly string[] = []): unknown {
  if (typeof want !== 'object' || want == null) return got;
  if (typeof got !== 'object' || got == null) return got;
  return Object.fromEntries(
    Object.entries(got).filter(([key]) => key in want || always.includes(key)),
  );
}

/** A name, written as itself or as the field of an object. */
export type Named<Key extends string> = string | Readonly<Record<Key, string>>;

/** The name of a {@link Named}. */
export const nameIn = <Key extends string>(named: Named<Key>, key: Key): string =>
  typeof named === 'string' ? named : named[key];

/** A map, written as itself or as a list of objects that have the key as a field. */
export type Keyed<Value, Key extends string> =
  Readonly<Record<string, Value>> | readonly (Value & Readonly<Record<Key, string>>)[];

/** Pairs of a {@link Keyed}. */
export function pairsOf<Value, Key extends string>(
  keyed: Keyed<Value, Key>,
  key: Key,
): [string, Value][] {
  return Array.isArray(keyed)
    ? keyed.map((value: Value & Readonly<Record<Key, string>>) => [value[key], value])
    : Object.entries(keyed as Readonly<Record<string, Value>>);
}
