import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import programs from './programs.json';
import { findProgram } from './run-program';

/** A program of the stack, by its key in programs.json. */
export type ProgramName = keyof typeof programs;

/**
 * This machine lacks something that the stack needs. The message names all of it and how to get it.
 */
export class MissingPrerequisitesError extends Error {
  override readonly name = 'MissingPrerequisitesError';
  constructor(
    /** Programs that were not found. */
    readonly programs: readonly string[],
    /** Whether the process is not root and would have to be. */
    readonly needsRoot: boolean,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Checks everything at once, before anything is started.
 *
 * @throws {MissingPrerequisitesError}
 */
export function requirePrerequisites(
  names: readonly ProgramName[],
  { root }: { root: boolean },
): void {
  const missing = names
    .map((name) => programs[name])
    .filter(({ find }) => !(find === '/bin/busybox' ? isStatic(find) : findProgram(find)));
  const uid = process.getuid?.() ?? 0;
  const needsRoot = root && uid !== 0;
  if (missing.length === 0 && !needsRoot) return;
  const sentences: string[] = [];
  if (needsRoot) {
    sentences.push(
      `The test stack needs root, this process has uid ${uid}: run the tests as root or with sudo.`,
    );
  }
  if (missing.length > 0) {
    const packages = [...new Set(missing.flatMap((program) => program.packages))].join(' ');
    sentences.push(
      `The test stack needs programs that were not found: ${missing.map(({ find }) => find).join(', ')}.`,
      `On Debian or Ubuntu, as root: apt-get update && apt-get install --no-install-recommends ${packages}`,
    );
  }
  throw new MissingPrerequisitesError(
    missing.map(({ find }) => find),
    needsRoot,
    sentences.join(' '),
  );
}

/** Whether a program is there and needs no dynamic loader, so that it runs alone in an image. */
function isStatic(file: string): boolean {
  if (!existsSync(file)) return false;
  const header = Buffer.alloc(4096);
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, header, 0, header.length, 0);
  } finally {
    closeSync(descriptor);
  }
  // ELF 64: program headers from e_phoff, e_phnum entries of e_phentsize bytes; type 3 names a
  // loader.
  const isElf64 = header.readUInt32BE(0) === 0x7f454c46 && header[4] === 2;
  if (!isElf64) return true; // another machine type: let it show when it runs
  const offset = Number(header.readBigUInt64LE(32));
  const entrySize = header.readUInt16LE(54);
  const entries = header.readUInt16LE(56);
  for (let entry = 0; entry < entries; entry += 1) {
    const at = offset + entry * entrySize;
    if (at + 4 <= header.length && header.readUInt32LE(at) === 3) return false;
  }
  return true;
}
