import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openSqlite, sqlitePackage } from '@stowage/sqlite';
import { lockRuntime } from './node-lock';

let folder: string;
let lines: { fields: object; message: string }[];
const log = { warn: (fields: object, message: string) => lines.push({ fields, message }) };

beforeEach(() => {
  lines = [];
  folder = mkdtempSync(path.join(os.tmpdir(), 'gc-lock-'));
  mkdirSync(path.join(folder, 'run'));
  symlinkSync(path.join(folder, 'run'), path.join(folder, 'var-run'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const message = (socket: string) =>
  `another gc-worker works on the runtime at ${socket}: two would remove each other's images`;

describe('lockRuntime', () => {
  it('refuses a second one for the same socket, by whatever path, also before the socket is there', async () => {
    const first = await lockRuntime(`unix://${folder}/run/containerd.sock`, log);
    await expect(lockRuntime(`unix://${folder}/run/containerd.sock`, log)).rejects.toThrow(
      message(`${folder}/run/containerd.sock`),
    );
    await expect(lockRuntime(`${folder}/var-run/containerd.sock`, log)).rejects.toThrow(
      message(`${folder}/var-run/containerd.sock`),
    );
    const other = await lockRuntime(`unix://${folder}/run/other.sock`, log);
    await first.release();
    const again = await lockRuntime(`unix://${folder}/run/containerd.sock`, log);
    await Promise.all([again.release(), other.release()]);
    expect(lines).toEqual([]);
  });

  it('has a name of full length, which is the same one for every version of Node.js', async () => {
    const lock = await lockRuntime(`unix://${folder}/run/containerd.sock`, log);
    const names = readFileSync('/proc/net/unix', 'utf8').match(/@stowage-gc-worker-.*/g);
    expect(names?.map((name) => name.length)).toContain(108);
    await lock.release();
  });

  it('refuses a second one that sees the directory at another path, as in another container, by the file alone', async () => {
    const socket = `${folder}/run/containerd.sock`;
    // Of a worker in another network namespace only the lock on the file is to be seen.
    const elsewhere = openSqlite(`${socket}.gc-worker.lock`);
    elsewhere.exec('BEGIN EXCLUSIVE');
    expect(statSync(`${socket}.gc-worker.lock`).size).toBe(0);
    await expect(lockRuntime(socket, log)).rejects.toThrow(message(socket));
    elsewhere.close();
    // The refused one has given back what it had.
    await (await lockRuntime(socket, log)).release();
  });

  it.each([
    ['there is no such directory', () => 'absent/containerd.sock'],
    [
      'the file is none of ours',
      () => {
        writeFileSync(
          path.join(folder, 'run/containerd.sock.gc-worker.lock'),
          'no database'.repeat(100),
        );
        return 'run/containerd.sock';
      },
    ],
    [
      'the file is a directory',
      () => {
        mkdirSync(path.join(folder, 'run/containerd.sock.gc-worker.lock'));
        return 'run/containerd.sock';
      },
    ],
  ])('holds in its network namespace, and says so, where %s', async (_, prepare) => {
    const socket = path.join(folder, prepare());
    const first = await lockRuntime(socket, log);
    expect(lines.map((line) => line.message)).toEqual([
      'no lock beside the socket of the runtime: another gc-worker in another network namespace would not be noticed',
    ]);
    await expect(lockRuntime(socket, log)).rejects.toThrow(message(socket));
    await first.release();
  });

  it('ends with the process', async () => {
    const socket = path.join(folder, 'run/containerd.sock');
    const script = `
      const database = new (require('${sqlitePackage}'))(process.argv[1]);
      database.exec('BEGIN EXCLUSIVE');
      process.kill(process.pid, 'SIGKILL');`;
    expect(() => {
      execFileSync(process.execPath, ['-e', script, `${socket}.gc-worker.lock`], { stdio: 'pipe' });
    }).toThrow(expect.objectContaining({ signal: 'SIGKILL' }) as Error);
    await (await lockRuntime(socket, log)).release();
  });
});
