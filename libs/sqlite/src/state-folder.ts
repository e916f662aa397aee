import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * Makes a folder for state files, and those above it, with mode 0700. Throws the system's error when that is not possible. Not with
 * `recursive` of Node.js, which never ends where the system says ENOENT for a folder whose parent is there, as in `/proc`.
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

/** Makes a folder where it is missing, and throws the system's error unless files can be made and read in it. */
export function useStateFolder(folder: string): void {
  makeStateFolder(folder);
  accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
}
