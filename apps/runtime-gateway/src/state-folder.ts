import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openSqlite } from '@stowage/sqlite';
import type { Database } from '@stowage/sqlite';

const pollMs = 100;

/**
 * Resolves when no other process holds the state folder any more: its outbox is locked as long as a process uses it, and
 * the lock goes with the process. Also resolves after `limitMs`; opening the outbox then says what is wrong. Asking
 * takes no time, unlike an attempt to open it.
 */
export async function stateFolderFree(
  stateDir: string,
  limitMs: number,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const endAt = performance.now() + limitMs;
  while (isHeld(stateDir) && performance.now() < endAt) await delay(pollMs, undefined, { signal });
}

function isHeld(stateDir: string): boolean {
  const file = path.join(stateDir, 'outbox.db');
  if (!existsSync(file)) return false;
  let database: Database | undefined;
  try {
    database = openSqlite(file, { timeout: 0 });
    database.prepare('SELECT count(*) FROM sqlite_master').get();
    return false;
  } catch (error) {
    return (error as { code?: string }).code?.startsWith('SQLITE_BUSY') === true;
  } finally {
    database?.close();
  }
}
