import type { StateFileContent } from '@stowage/sqlite';
import path from 'node:path';

/** The outbox of a state directory. */
export const outboxFile = (stateDir: string): string => path.join(stateDir, 'outbox.db');

/** What the outbox file holds. */
export const outboxContent: StateFileContent = {
  lost: 'the events in it and the sequence, which restarts',
  steps: [
    `
    CREATE TABLE event (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL,
      name TEXT NOT NULL,
      subject TEXT NOT NULL,
      time_ms INTEGER NOT NULL,
      size_bytes INTEGER NOT NULL,
      message TEXT NOT NULL
    );
    CREATE TABLE dropped (reason TEXT PRIMARY KEY, record TEXT NOT NULL);
    `,
  ],
};
