import { StateFileUnusableError } from './errors';

/** The code of an error of SQLite, as in `SQLITE_BUSY`; undefined for other errors. */
export function sqliteCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined;
}

/** Whether another process has the file. */
export const isBusy = (error: unknown): boolean =>
  /^SQLITE_(BUSY|LOCKED)/.test(sqliteCode(error) ?? '');

/** Whether an error says that the file is not (or no longer) a sound database of this program. */
export const isUnusable = (error: unknown): boolean =>
  error instanceof StateFileUnusableError ||
  /^SQLITE_(CORRUPT|NOTADB)/.test(sqliteCode(error) ?? '');

/** Whether the system refused the folder or the file: full, read-only, no permission, no folder. */
export const isOfTheSystem = (error: unknown): boolean =>
  typeof (error as NodeJS.ErrnoException | null)?.errno === 'number';
