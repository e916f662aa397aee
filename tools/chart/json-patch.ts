import { isDeepStrictEqual } from 'node:util';

/** One step of a JSON patch (RFC 6902), of the three kinds that are made here. */
export type PatchStep =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

type Mapping = Readonly<Record<string, unknown>>;

const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value != null && !Array.isArray(value);

const escaped = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1');

/**
 * The steps that make `to` out of `from`. Items of lists are compared by their place; a longer list
 * grows at its end and a shorter one shrinks there, so that patches of different fields can be
 * combined.
 */
export function patchBetween(from: unknown, to: unknown, path = ''): PatchStep[] {
  if (isDeepStrictEqual(from, to)) return [];
  if (isMapping(from) && isMapping(to)) {
    return [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((key): PatchStep[] => {
      const below = `${path}/${escaped(key)}`;
      if (!Object.hasOwn(to, key)) return [{ op: 'remove', path: below }];
      if (!Object.hasOwn(from, key)) return [{ op: 'add', path: below, value: to[key] }];
      return patchBetween(from[key], to[key], below);
    });
  }
  if (Array.isArray(from) && Array.isArray(to)) {
    const shared = Math.min(from.length, to.length);
    return [
      ...to.slice(0, shared).flatMap((item, at) => patchBetween(from[at], item, `${path}/${at}`)),
      ...from.slice(shared).map((_, index): PatchStep => ({
        op: 'remove',
        path: `${path}/${from.length - 1 - index}`,
      })),
      ...to
        .slice(shared)
        .map((value: unknown): PatchStep => ({ op: 'add', path: `${path}/-`, value })),
    ];
  }
  return [{ op: 'replace', path, value: to }];
}
