import { openSqlite, sqliteCode } from '@stowage/sqlite';
import type { Database } from '@stowage/sqlite';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BusLog } from './types';

const pollMs = 20;
/** When the waiting is worth a line in the log. */
const longMs = 5000;

/**
 * Resolves when no other process has the outbox of this folder: it is locked as long as a process uses it, and the lock goes
 * with the process, however that ends. Rejects with the signal's reason when that aborts. Asking takes no time, unlike an attempt
 * to open the bus.
 */
export async function outboxFree(
  stateDir: string,
  { signal, log }: { signal: AbortSignal; log: BusLog },
): Promise<void> {
  const since = performance.now();
  let isLogged = false;
  while (isHeld(stateDir)) {
    if (!isLogged && performance.now() - since > longMs) {
      isLogged = true;
      log.warn({ stateDir }, 'another process still has the state directory: waiting for it');
    }
    await delay(pollMs, undefined, { signal });
  }
  signal.throwIfAborted();
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
    return sqliteCode(error)?.startsWith('SQLITE_BUSY') === true;
  } finally {
    database?.close();
  }
}
