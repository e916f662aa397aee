export { openSqlite, sqlitePackage } from './open-sqlite';
export {
  checkStateFile,
  isStateFileHeld,
  isUnusable,
  openStateFile,
  setAside,
  sqliteCode,
  StateFileUnusableError,
} from './state-file';
export type { StateFileContent } from './state-file';
export { SqliteBindingError } from './errors';
export type { Database, Statement } from 'better-sqlite3';
