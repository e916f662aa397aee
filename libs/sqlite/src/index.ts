export { checkFileKind, openSqlite, sqlitePackage } from './open-sqlite';
export {
  checkStateFile,
  isStateFileHeld,
  isUnusable,
  makeStateFolder,
  openStateFile,
  setAside,
  sqliteCode,
  StateFileUnusableError,
} from './state-file';
export type { StateFileContent } from './state-file';
export { SqliteBindingError, StateFileKindError } from './errors';
export type { Database, Statement } from 'better-sqlite3';
