import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';

export interface StateFolder {
  readonly stateDir: string;
  readonly nativeBinding?: string;
}

const pollMs = 100;

/**
 * Resolves when no other process holds the state folder any more: its outbox is locked as long as a process uses it, and
 * the lock goes with the process. Also resolves after `limitMs`; opening the outbox then says what is wrong. Asking
 * takes no time, unlike an attempt to open it.
 */
export async function stateFolderFree(
  folder: StateFolder,
  limitMs: number,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const endAt = performance.now() + limitMs;
  while (isHeld(folder) && performance.now() < endAt) await delay(pollMs, undefined, { signal });
}

function isHeld({ stateDir, nativeBinding }: StateFolder): boolean {
  const file = path.join(stateDir, 'outbox.db');
  if (!existsSync(file)) return false;
  let database: Sqlite.Database | undefined;
  try {
    database = new Sqlite(file, { timeout: 0, ...(nativeBinding && { nativeBinding }) });
    database.prepare('SELECT count(*) FROM sqlite_master').get();
    return false;
  } catch (error) {
    return (error as { code?: string }).code?.startsWith('SQLITE_BUSY') === true;
  } finally {
    database?.close();
  }
}
