import type { StateFileContent } from '@stowage/sqlite';

/** What the outbox file holds. */
export const outboxContent: StateFileContent = {
  version: 1,
  schema: `
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
};
