import { errorMessage } from '@stowage/errors';
import type Sqlite from 'better-sqlite3';
import { chmodSync, existsSync, readdirSync, statSync, type Stats } from 'node:fs';
import path from 'node:path';
import { SqliteBindingError, StateFileKindError } from './errors';

/**
 * better-sqlite3 13 needs Node-API 10: Node.js 22.14 and later. On Node.js 20 it ends the process.
 */
const hasNodeApi10 = Number(process.versions.napi) >= 10;

/** The npm package that serves this Node.js; docs/adr/0013 says why there are two. */
export const sqlitePackage = hasNodeApi10 ? 'better-sqlite3-napi' : 'better-sqlite3';

/**
 * Names under which tools/build.mjs puts the native parts beside the bundle. The prebuilt one is
 * there for each processor.
 */
const bindingFiles = {
  'better-sqlite3': 'better_sqlite3.node',
  'better-sqlite3-napi': `better_sqlite3_napi.${process.arch}.node`,
};

/**
 * Opens a database: a file, `:memory:`, or the content of a file, which is then held in memory. A
 * file, its logs and its renamed damaged versions can be read and written only by their owner,
 * whatever mode and umask were before. Throws SQLite's error with its `code`,
 * {@link StateFileKindError} for what is no regular file, and {@link SqliteBindingError} when this
 * Node.js cannot load SQLite. `timeout` is in milliseconds.
 */
export function openSqlite(
  source: string | Buffer,
  options: Pick<Sqlite.Options, 'readonly' | 'timeout'> = {},
): Sqlite.Database {
  if (typeof source === 'string' && source !== ':memory:') {
    for (const log of ['', '-wal', '-shm', '-journal']) checkFileKind(source + log);
    narrowModes(source);
  }
  const nativeBinding = bindingBesideBundle();
  const Database = loadPackage();
  // SQLite makes a new file with 0644, and its logs with the mode of the file. Nothing else runs
  // before the mask is back.
  const umask = process.umask(0o077);
  try {
    return new Database(source, { ...options, ...(nativeBinding && { nativeBinding }) });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_DLOPEN_FAILED') throw error;
    throw new SqliteBindingError(errorMessage(error), { cause: error });
  } finally {
    process.umask(umask);
  }
}

/**
 * Throws {@link StateFileKindError} unless a path is a regular file, does not exist or cannot be
 * inspected. Links are followed.
 */
export function checkFileKind(file: string): void {
  let stats: Stats | undefined;
  try {
    stats = statSync(file, { throwIfNoEntry: false });
  } catch {
    return; // Opening it reports why it cannot be reached.
  }
  if (stats !== undefined && !stats.isFile()) throw new StateFileKindError(file, kindOf(stats));
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a named pipe';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

/**
 * Removes other users' permissions from a file of an earlier version, its logs, and its renamed
 * damaged versions, as far as the system allows.
 */
function narrowModes(file: string): void {
  const [folder, name] = [path.dirname(file), path.basename(file)];
  for (const other of namesIn(folder)) {
    if (
      !other.startsWith(name) ||
      !/^($|-(wal|shm|journal)$|\.unusable-)/.test(other.slice(name.length))
    )
      continue;
    try {
      const own = path.join(folder, other);
      if ((statSync(own).mode & 0o077) !== 0) chmodSync(own, 0o600);
    } catch {
      continue; // Of another owner, on a read-only file system, or gone.
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Opening the file reports why the folder cannot be reached.
  }
}

/**
 * Both names stand in quotes, so the bundle holds both packages; only the one that is asked for is
 * evaluated.
 */
function loadPackage(): typeof Sqlite {
  return hasNodeApi10
    ? // eslint-disable-next-line @typescript-eslint/no-require-imports -- late and without a promise
      (require('better-sqlite3-napi') as typeof Sqlite)
    : // eslint-disable-next-line @typescript-eslint/no-require-imports -- late and without a promise
      (require('better-sqlite3') as typeof Sqlite);
}

/** Undefined in a process that is not bundled: the package then finds its native part itself. */
function bindingBesideBundle(): string | undefined {
  const file = path.join(__dirname, bindingFiles[sqlitePackage]);
  if (existsSync(file)) return file;
  if (existsSync(path.join(__dirname, bindingFiles['better-sqlite3-napi']))) {
    throw new SqliteBindingError(
      `there is no ${file}; build the services with this Node.js, or run them with 22.14 or later`,
    );
  }
  return undefined;
}
