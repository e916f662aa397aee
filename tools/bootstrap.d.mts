/**
 * A program and the Debian packages that hold it; `find` is a name looked up in PATH or an absolute
 * path.
 */
export interface SystemProgram {
  find: string;
  packages: string[];
}
/** Programs of the real stack and of its tests. */
export const testPrograms: readonly SystemProgram[];
/** Programs of the real stack. */
export const systemPrograms: readonly SystemProgram[];
/** Absolute path of the workspace. */
export const root: string;
/** Installs the npm packages when they are missing. */
export function ensurePackages(): void;
/** Installs the Debian packages of missing programs, or ends the process with a clear message. */
export function ensurePrograms(list?: readonly SystemProgram[], why?: string): void;
/** Builds the apps into dist/apps, or ends the process with the build's output. */
export function buildApps(): void;
