import { errorMessage } from '@stowage/errors';
import type Sqlite from 'better-sqlite3';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { SqliteBindingError } from './errors';

/** better-sqlite3 13 needs Node-API 10: Node.js 22.14 and later. On Node.js 20 it ends the process. */
const hasNodeApi10 = Number(process.versions.napi) >= 10;

/** The npm package that serves this Node.js; docs/adr/0013 says why there are two. */
export const sqlitePackage = hasNodeApi10 ? 'better-sqlite3-napi' : 'better-sqlite3';

/** Names under which tools/build.mjs puts the native parts beside the bundle. */
const bindingFiles = {
  'better-sqlite3': 'better_sqlite3.node',
  'better-sqlite3-napi': 'better_sqlite3_napi.node',
};

/**
 * Opens a database: a file, `:memory:`, or the content of a file, which is then held in memory. Throws SQLite's error with its `code`,
 * and {@link SqliteBindingError} when this Node.js cannot load SQLite. `timeout` is in milliseconds.
 */
export function openSqlite(
  source: string | Buffer,
  options: Pick<Sqlite.Options, 'readonly' | 'timeout'> = {},
): Sqlite.Database {
  const nativeBinding = bindingBesideBundle();
  const Database = loadPackage();
  try {
    return new Database(source, { ...options, ...(nativeBinding && { nativeBinding }) });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_DLOPEN_FAILED') throw error;
    throw new SqliteBindingError(errorMessage(error), { cause: error });
  }
}

/** Both names stand in quotes, so the bundle holds both packages; only the one that is asked for is evaluated. */
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
