import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { nodeProgram, nodeProgramsOfTests as versions } from '@stowage/testing';

let folder: string;
const programs = new Map<string, string>();
const holders: ChildProcessByStdio<null, Readable, null>[] = [];

beforeAll(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'gc-lock-'));
  programs.set(process.versions.node, process.execPath);
  for (const version of versions) programs.set(version, await nodeProgram(version));
}, 600_000);
afterEach(async () => {
  await Promise.all(holders.splice(0).map(end));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function end(holder: ChildProcessByStdio<null, Readable, null>): Promise<void> {
  if (holder.exitCode != null || holder.signalCode != null) return;
  const ended = once(holder, 'exit');
  holder.kill('SIGKILL');
  await ended;
}

/** Takes the lock in a process of that version and keeps it; what came of it. */
async function take(version: string, socket: string): Promise<string> {
  const script = `
    const log = { warn: () => undefined };
    require(${JSON.stringify(path.join(__dirname, 'node-lock.ts'))}).lockRuntime(${JSON.stringify(socket)}, log).then(
      () => { console.log('taken'); setInterval(() => undefined, 1e6); },
      (error) => { console.log(error.message); },
    );`;
  const args = ['--require', require.resolve('tsx/cjs'), '--eval', script];
  const TSX_TSCONFIG_PATH = path.resolve(__dirname, '../../../../tsconfig.json');
  const process_ = spawn(programs.get(version)!, args, {
    env: { ...process.env, TSX_TSCONFIG_PATH },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  holders.push(process_);
  const [line] = (await once(process_.stdout, 'data')) as [Buffer];
  return line.toString().trim();
}

/** In a directory that is not there no file can be locked, so that the name alone counts. */
const socketOf = (name: string) => path.join(folder, 'absent', `${name}.sock`);

test.each([...versions, process.versions.node])(
  'the lock of a worker on Node.js %s keeps workers on every other version off, by its name alone',
  async (version) => {
    const socket = socketOf(version);
    expect(await take(version, socket)).toBe('taken');
    for (const other of programs.keys()) {
      expect([other, await take(other, socket)]).toEqual([
        other,
        `another gc-worker works on the runtime at ${socket}: two would remove each other's images`,
      ]);
    }
    await end(holders.shift()!);
    for (const other of programs.keys()) {
      expect([other, await take(other, socketOf(`${version}-${other}`))]).toEqual([other, 'taken']);
    }
  },
);
