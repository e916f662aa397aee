import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { makeStateFolder } from '@stowage/sqlite';
import type { PulledRecord } from './pulled-record';
import {
  decodeIntent,
  decodePulledRecord,
  encodeIntent,
  encodePulledRecord,
  recordFileName,
} from './record-files';
import type { Decoded } from './record-files';

/** What could be read, and what could not. */
export interface Listed<T> {
  readonly items: readonly T[];
  readonly errors: readonly Error[];
}

/** Number of records that there are, those that cannot be read included. */
export interface RecordCounts {
  readonly intents: number;
  readonly pulledRecords: number;
}

/**
 * Keeps pull intents (by image) and pulled records (by image ref). The calls are synchronous: the
 * files are small, and so no two changes of one record come between each other.
 */
export interface RecordStore {
  writeIntent(image: string): void;
  hasIntent(image: string): boolean;
  /** Deleting what is gone succeeds. */
  deleteIntent(image: string): void;
  intents(): Listed<string>;
  /** Throws when there is one that cannot be read. */
  pulledRecord(imageRef: string): PulledRecord | undefined;
  writePulledRecord(record: PulledRecord): void;
  deletePulledRecord(imageRef: string): void;
  pulledRecords(): Listed<PulledRecord>;
  counts(): RecordCounts;
}

/**
 * Kubelet's files: `<dir>/pulling` and `<dir>/pulled`, one a record, named by hash, replaced by
 * rename. Kubelet's own folder (`/var/lib/kubelet/image_manager`) can be read and shared. Files of
 * the version before are rewritten when the store opens.
 */
export class FsRecordStore implements RecordStore {
  readonly #pulling: string;
  readonly #pulled: string;

  constructor(dir: string, onProblem: (error: Error) => void = () => undefined) {
    this.#pulling = path.join(dir, 'pulling');
    this.#pulled = path.join(dir, 'pulled');
    try {
      for (const folder of [this.#pulling, this.#pulled]) makeStateFolder(folder);
      this.#rewriteOld(onProblem);
    } catch (error) {
      // Each write tries again.
      onProblem(error as Error);
    }
  }

  writeIntent(image: string): void {
    write(this.#pulling, image, encodeIntent(image));
  }

  hasIntent(image: string): boolean {
    return read(this.#pulling, image, decodeIntent)?.value === image;
  }

  deleteIntent(image: string): void {
    rmSync(path.join(this.#pulling, recordFileName(image)), { force: true });
  }

  intents(): Listed<string> {
    const { items, errors } = list(this.#pulling, decodeIntent);
    return { items: items.map(({ value }) => value), errors };
  }

  pulledRecord(imageRef: string): PulledRecord | undefined {
    const record = read(this.#pulled, imageRef, decodePulledRecord)?.value;
    return record?.imageRef === imageRef ? record : undefined;
  }

  writePulledRecord(record: PulledRecord): void {
    write(this.#pulled, record.imageRef, encodePulledRecord(record));
  }

  deletePulledRecord(imageRef: string): void {
    rmSync(path.join(this.#pulled, recordFileName(imageRef)), { force: true });
  }

  pulledRecords(): Listed<PulledRecord> {
    const { items, errors } = list(this.#pulled, decodePulledRecord);
    return { items: items.map(({ value }) => value), errors };
  }

  counts(): RecordCounts {
    const [intents, pulledRecords] = [this.#pulling, this.#pulled].map(
      (folder) => recordFiles(folder).length,
    );
    return { intents: intents ?? 0, pulledRecords: pulledRecords ?? 0 };
  }

  #rewriteOld(onProblem: (error: Error) => void): void {
    const intents = list(this.#pulling, decodeIntent);
    const records = list(this.#pulled, decodePulledRecord);
    for (const error of [...intents.errors, ...records.errors]) onProblem(error);
    try {
      for (const { value, isOld } of intents.items) if (isOld) this.writeIntent(value);
      for (const { value, isOld } of records.items) if (isOld) this.writePulledRecord(value);
    } catch (error) {
      onProblem(error as Error);
    }
  }
}

/**
 * Content of a file. Throws what reading throws, and for a pipe, which reading would wait for
 * without end.
 */
function readRegular(file: string): string {
  const handle = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(handle).isFile()) throw new Error(`pull record ${file} is no regular file`);
    return readFileSync(handle, 'utf8');
  } finally {
    closeSync(handle);
  }
}

function write(folder: string, name: string, content: string): void {
  makeStateFolder(folder);
  const file = path.join(folder, recordFileName(name));
  // What lies there is left of a write that was cut short, or is no file of ours at all.
  rmSync(`${file}.tmp`, { force: true });
  writeFileSync(`${file}.tmp`, content, { mode: 0o600, flag: 'wx' });
  renameSync(`${file}.tmp`, file);
}

function read<T>(
  folder: string,
  name: string,
  decode: (text: string) => Decoded<T>,
): Decoded<T> | undefined {
  const file = path.join(folder, recordFileName(name));
  let text: string;
  try {
    text = readRegular(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return decoded(file, text, decode);
}

function decoded<T>(file: string, text: string, decode: (text: string) => Decoded<T>): Decoded<T> {
  try {
    return decode(text);
  } catch (cause) {
    throw new Error(`pull record ${file} cannot be decoded`, { cause });
  }
}

/**
 * Names of the record files of a folder; files of a write that goes on, and what is not a record,
 * are none.
 */
const recordFiles = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => name)
    .filter((name) => name.startsWith('sha256-') && !name.endsWith('.tmp'));

function list<T>(folder: string, decode: (text: string) => Decoded<T>): Listed<Decoded<T>> {
  const items: Decoded<T>[] = [];
  const errors: Error[] = [];
  for (const name of recordFiles(folder)) {
    const file = path.join(folder, name);
    try {
      items.push(decoded(file, readRegular(file), decode));
    } catch (error) {
      // Gone since the folder was read: another process may share it.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') errors.push(error as Error);
    }
  }
  return { items, errors };
}
