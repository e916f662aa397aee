/** What a name of the matrix stands for. */
export type Target =
  /** A suite of Debian, with its own containerd, NATS and Node.js. */
  | { readonly kind: 'debian'; readonly suite: string }
  /** The machine's own stack, with the latest Node.js of this line. */
  | { readonly kind: 'node'; readonly version: string }
  /** A CRI-O that the user names, on the machine's own stack. */
  | {
      readonly kind: 'crio';
      readonly ociRuntime: 'runc' | 'crun';
      /** Whether it serves GetContainerEvents. */
      readonly events: boolean;
    };

/** In the order of the table. */
export const targets: Readonly<Record<string, Target>> = {
  debian13: { kind: 'debian', suite: 'trixie' },
  'debian-testing': { kind: 'debian', suite: 'testing' },
  'node-22.14': { kind: 'node', version: '22.14' },
  'node-22': { kind: 'node', version: '22' },
  'node-24.0': { kind: 'node', version: '24.0' },
  'node-24': { kind: 'node', version: '24' },
  'node-26': { kind: 'node', version: '26' },
  'crio-runc': { kind: 'crio', ociRuntime: 'runc', events: true },
  'crio-crun': { kind: 'crio', ociRuntime: 'crun', events: false },
};

/** The command line asks for something that is not there, or not together. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * What is to be run: the names that were asked for, where a kind (`debian`, `node`, `crio`) stands
 * for all of its names; without any, everything that the machine has.
 *
 * @throws {UsageError} for an unknown name, and for one of CRI-O without the program.
 */
export function selectNames(asked: readonly string[], crio: string | undefined): string[] {
  const kinds = new Set<string>(Object.values(targets).map(({ kind }) => kind));
  const unknown = asked.filter((name) => !(name in targets) && !kinds.has(name));
  if (unknown.length > 0) {
    throw new UsageError(
      `${unknown.join(', ')}: no name of the matrix. Names: ${[...Object.keys(targets), ...kinds].join(', ')}`,
    );
  }
  const selected = Object.entries(targets).filter(([name, { kind }]) =>
    asked.length === 0
      ? kind !== 'crio' || crio !== undefined
      : asked.includes(name) || asked.includes(kind),
  );
  const needing = selected.filter(([, { kind }]) => kind === 'crio').map(([name]) => name);
  if (needing.length > 0 && crio === undefined) {
    throw new UsageError(
      `${needing.join(', ')}: name the program of CRI-O ${oldestCrio} or later with --crio PATH`,
    );
  }
  if (needing.length === 0 && crio !== undefined) {
    throw new UsageError(`--crio is for crio and its names, not for ${asked.join(', ')}`);
  }
  return selected.map(([name]) => name);
}

/** The oldest minor version of CRI-O that the tests are made for. */
export const oldestCrio = '1.34';

/**
 * Checks what a program answers to `--version`.
 *
 * @throws {UsageError} when it is no CRI-O, or an older one.
 */
export function checkCrioVersion(program: string, answer: string): void {
  const [, major, minor] = /^crio version v?(\d+)\.(\d+)\./m.exec(answer) ?? [];
  if (major === undefined || minor === undefined) {
    throw new UsageError(`--crio ${program}: it does not say that it is CRI-O`);
  }
  const [oldestMajor = 0, oldestMinor = 0] = oldestCrio.split('.').map(Number);
  const isOlder =
    Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor);
  if (isOlder) {
    throw new UsageError(
      `--crio ${program}: it is ${major}.${minor}, ${oldestCrio} or later is needed`,
    );
  }
}
