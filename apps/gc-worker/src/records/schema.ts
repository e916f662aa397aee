import type { StateFileContent } from '@stowage/sqlite';

/** What the records file holds. */
export const recordsContent: StateFileContent = {
  // So that a file of another program is recognised.
  applicationId: 0x53544743,
  lost: 'the ages of images: all count as detected now',
  steps: [
    `CREATE TABLE image (
       image_id TEXT PRIMARY KEY,
       repo_tags TEXT NOT NULL,
       repo_digests TEXT NOT NULL,
       size_bytes INTEGER NOT NULL,
       pinned INTEGER NOT NULL,
       runtime_handler TEXT NOT NULL,
       first_detected_ms INTEGER,
       last_used_ms INTEGER,
       used_by TEXT NOT NULL
     ) STRICT;
     CREATE TABLE removal (
       image_id TEXT PRIMARY KEY,
       reason TEXT NOT NULL,
       plan_id TEXT NOT NULL
     ) STRICT;
     CREATE TABLE hold (
       name TEXT PRIMARY KEY,
       until_ms INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE exceeded (
       mountpoint TEXT PRIMARY KEY,
       since_ms INTEGER NOT NULL
     ) STRICT;`,
    `ALTER TABLE image ADD COLUMN namespaces TEXT NOT NULL DEFAULT '[]';
     ALTER TABLE image ADD COLUMN pull_ms INTEGER;
     ALTER TABLE image ADD COLUMN pull_bytes INTEGER;
     CREATE TABLE mark (
       mountpoint TEXT NOT NULL,
       resource TEXT NOT NULL,
       level TEXT NOT NULL,
       since_ms INTEGER NOT NULL,
       PRIMARY KEY (mountpoint, resource, level)
     ) STRICT;
     INSERT INTO mark SELECT mountpoint, 'bytes', 'high', since_ms FROM exceeded;
     DROP TABLE exceeded;
     CREATE TABLE removed (
       image_id TEXT PRIMARY KEY,
       names TEXT NOT NULL,
       removed_ms INTEGER NOT NULL,
       plan_id TEXT NOT NULL
     ) STRICT;`,
    `CREATE TABLE detection (
       id INTEGER PRIMARY KEY CHECK (id = 1),
       detected_ms INTEGER NOT NULL
     ) STRICT;`,
    `CREATE TABLE telling (
       image_id TEXT PRIMARY KEY,
       sequence INTEGER NOT NULL
     ) STRICT;`,
    `ALTER TABLE mark ADD COLUMN role TEXT NOT NULL DEFAULT 'image';`,
    `CREATE TABLE announcing (
       id INTEGER PRIMARY KEY CHECK (id = 1),
       first_sequence INTEGER NOT NULL,
       image_ids TEXT NOT NULL
     ) STRICT;
     ALTER TABLE mark ADD COLUMN exceeded_sequence INTEGER;
     ALTER TABLE mark ADD COLUMN recovered_sequence INTEGER;`,
  ],
};
