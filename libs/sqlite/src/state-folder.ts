import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * Creates a folder for state files, and its parents, with mode 0700. Throws the system's error when
 * that is not possible. Not with Node's `recursive`, which never returns where the system reports
 * ENOENT for a folder whose parent exists, as in `/proc`.
 */
export function makeStateFolder(folder: string): void {
  const mode = 0o700;
  try {
    mkdirSync(folder, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
    const above = path.dirname(folder);
    if (code !== 'ENOENT' || existsSync(above)) throw error;
    makeStateFolder(above);
    mkdirSync(folder, { mode });
  }
}

/**
 * Creates a folder if it is missing, and throws the system's error unless files can be created and
 * read in it.
 */
export function useStateFolder(folder: string): void {
  makeStateFolder(folder);
  accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
}
