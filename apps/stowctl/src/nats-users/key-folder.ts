import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { errorMessage } from '@stowage/errors';
import { nkeys } from 'nats';
import { CommandFailure } from '../failures';
import type { NatsUser, UserKind } from './user';

/** Owner alone; whoever has a seed is that user. */
const fileMode = 0o600;
const folderMode = 0o700;
const ending = '.nk';

/** The key of a user. */
export interface UserKey {
  /** What the server knows, as in `U…`. */
  readonly publicKey: string;
  /** What the user logs in with, as in `SU…`. A secret. */
  readonly seed: string;
  /** The file that holds the seed. */
  readonly file: string;
  /** Whether it was made now: where there was none, or in the place of another. */
  readonly state: 'kept' | 'new' | 'rotated';
}

/** A pair as nkeys makes it; the package declares none of its types. */
interface KeyPair {
  getPublicKey(): string;
  getSeed(): Uint8Array;
  clear(): void;
}
const { createUser, fromSeed } = nkeys as {
  readonly createUser: () => KeyPair;
  readonly fromSeed: (seed: Uint8Array) => KeyPair;
};

/** Files with the seeds of users, one each: `nodes/worker-1.nk`, `operators/sre.nk`. */
export class KeyFolder {
  constructor(private readonly folder: string) {}

  /** Users of a kind that have a key, sorted. */
  users(kind: UserKind): NatsUser[] {
    let files: string[];
    try {
      files = readdirSync(path.join(this.folder, `${kind}s`));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw this.#unusable(error);
    }
    return files
      .filter((file) => file.endsWith(ending))
      .map((file) => ({ kind, name: file.slice(0, -ending.length) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The key of a user, which is made where there is none, or with `isRotated` in any case. */
  key(user: NatsUser, { isRotated }: { isRotated: boolean }): UserKey {
    const file = path.join(this.folder, `${user.kind}s`, `${user.name}${ending}`);
    try {
      const known = readSeed(file);
      if (known !== undefined && !isRotated) {
        return { ...describe(fromSeed(known)), file, state: 'kept' };
      }
      const key = describe(createUser());
      mkdirSync(path.dirname(file), { recursive: true, mode: folderMode });
      if (known === undefined) writeNew(file, `${key.seed}\n`);
      else writeInPlace(file, `${key.seed}\n`);
      return { ...key, file, state: known === undefined ? 'new' : 'rotated' };
    } catch (error) {
      throw error instanceof CommandFailure ? error : this.#unusable(error);
    }
  }

  /** Writes a file that is made of the keys, in the place of the one before. Returns its path. */
  write(name: string, text: string): string {
    const file = path.join(this.folder, name);
    try {
      mkdirSync(this.folder, { recursive: true, mode: folderMode });
      writeInPlace(file, text);
    } catch (error) {
      throw this.#unusable(error);
    }
    return file;
  }

  #unusable(error: unknown): CommandFailure {
    return new CommandFailure(
      `keys cannot be kept in ${this.folder}: ${errorMessage(error)}`,
      'name another folder with --out',
      { cause: error },
    );
  }
}

function describe(pair: KeyPair): Pick<UserKey, 'publicKey' | 'seed'> {
  const key = {
    publicKey: pair.getPublicKey(),
    seed: Buffer.from(pair.getSeed()).toString('ascii'),
  };
  pair.clear();
  return key;
}

/** The seed in a file; undefined where there is none. A file that is no seed is never replaced. */
function readSeed(file: string): Uint8Array | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  if ((statSync(file).mode & 0o077) !== 0) {
    throw new CommandFailure(
      `others may read the key in ${file}`,
      `chmod 600 ${file}, and make a new one with --rotate if somebody may have read it`,
    );
  }
  if (!isUserSeed(text)) {
    throw new CommandFailure(
      `${file} does not hold the seed of a user`,
      'remove the file, or bring back the right one',
    );
  }
  return Buffer.from(text);
}

function isUserSeed(text: string): boolean {
  if (!text.startsWith('SU')) return false;
  try {
    fromSeed(Buffer.from(text)).clear();
    return true;
  } catch {
    return false;
  }
}

/** Fails when the file is there. */
function writeNew(file: string, text: string): void {
  const descriptor = openSync(file, 'wx', fileMode);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The file holds the old text or the new one, whatever happens in between. */
function writeInPlace(file: string, text: string): void {
  const next = `${file}.${process.pid}.next`;
  writeNew(next, text);
  renameSync(next, file);
}
