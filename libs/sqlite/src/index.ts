export { openSqlite, sqlitePackage } from './open-sqlite';
export { SqliteBindingError } from './errors';
export type { Database, Statement } from 'better-sqlite3';
