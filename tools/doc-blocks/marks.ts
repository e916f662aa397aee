import type { Block } from './markdown';

/** Why a block may be run by no test. A page says which, and in a sentence why, right before it. */
export const markKinds = {
  cluster: 'it needs a Kubernetes cluster',
  systemd: 'it needs systemd as the first process of the machine',
  internet: 'it fetches packages or images from the internet',
  machine: 'it is for another machine, or needs a program that the tests do not install',
  minutes: 'it takes many minutes',
  release: 'it needs a published release',
} as const;

export type MarkKind = keyof typeof markKinds;

/** A mark in a page: `<!-- not run (minutes): a bench -->`. */
export interface Mark {
  readonly kind: MarkKind;
  readonly reason: string;
}

/**
 * The mark before a block; undefined where there is none.
 *
 * @throws Error for a comment that is to be one, and is none: an unknown kind, no reason.
 */
export function markOf({ comment }: Pick<Block, 'comment'>): Mark | undefined {
  if (!/^not run\b/.test(comment)) return undefined;
  const [, kind = '', reason = ''] = /^not run \((\w+)\): (\S.*)$/.exec(comment) ?? [];
  if (kind === '') throw new Error(`"${comment}" is not of the form "not run (KIND): REASON"`);
  if (!isKind(kind)) {
    throw new Error(`"${kind}" is no kind of mark: ${Object.keys(markKinds).join(', ')}`);
  }
  return { kind, reason };
}

const isKind = (word: string): word is MarkKind => Object.hasOwn(markKinds, word);
