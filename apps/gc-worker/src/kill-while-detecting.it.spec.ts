import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { openSqlite } from '@stowage/sqlite';
import { eventually } from '@stowage/testing';
import { detectingWorker } from './testing/detecting-worker';

const root = path.join(__dirname, '../../..');
const imageCount = 4000;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'stowage-gc-kill-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function told(stateDir: string): { imageId: string; sequence: number }[] {
  const database = openSqlite(path.join(stateDir, 'outbox.db'));
  try {
    return database
      .prepare<[], { name: string; sequence: number; message: string }>(
        'SELECT name, sequence, message FROM event ORDER BY sequence',
      )
      .all()
      .filter(({ name }) => name === 'ImageDetected')
      .map(({ sequence, message }) => {
        const { data } = JSON.parse(message) as { data: { imageId: string } };
        return { imageId: data.imageId, sequence };
      });
  } finally {
    database.close();
  }
}

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

/**
 * Runs a first detection in a process and kills it as soon as so many bytes of events are on disk.
 */
async function killDetection(stateDir: string, outboxBytes: number): Promise<void> {
  const script = path.join(__dirname, 'testing/detecting-process.ts');
  const args = ['--import', 'tsx', script, stateDir, String(imageCount)];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  try {
    await eventually(() => Promise.resolve(lines.includes('ready')), {
      what: 'the process',
      timeoutMs: 60_000,
    });
    const wal = path.join(stateDir, 'outbox.db-wal');
    const before = sizeOf(wal);
    child.stdin.write('go\n');
    await eventually(
      () => Promise.resolve(sizeOf(wal) >= before + outboxBytes || lines.includes('done')),
      { what: `${outboxBytes} bytes of events`, intervalMs: 1, timeoutMs: 60_000 },
    );
  } finally {
    child.kill('SIGKILL');
    await closed;
  }
}

it('killed while it tells thousands of images, the next worker tells each of those that are missing, and none twice', async () => {
  let partly = 0;
  for (let round = 0; round < 6 || (partly === 0 && round < 30); round += 1) {
    const stateDir = path.join(folder, String(round));
    await killDetection(stateDir, (round % 6) * 150_000);
    const before = told(stateDir);
    if (before.length > 0 && before.length < imageCount) partly += 1;

    const next = detectingWorker(stateDir, imageCount);
    const known = [...next.store.images().keys()];
    await next.detect();
    await next.close();
    // What was told was known, and nothing else.
    expect(known).toEqual(before.map(({ imageId }) => imageId));

    const after = told(stateDir);
    expect(after.map(({ sequence }) => sequence)).toEqual(after.map((_, at) => at + 1));
    expect(new Set(after.map(({ imageId }) => imageId)).size).toBe(imageCount);
    expect(after).toHaveLength(imageCount);
  }
  expect(partly).toBeGreaterThan(0);
}, 300_000);
