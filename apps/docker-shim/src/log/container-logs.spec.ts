import { eventually, eventuallyPasses } from '@stowage/testing';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import workerThreads from 'node:worker_threads';
import { criLine, EngineLogWriter } from '../testing/engine-log-writer';
import { ContainerLogs, type ContainerLogsOptions } from './container-logs';
import type { CopierNumbers } from './log-copier';

const threads: workerThreads.Worker[] = [];

beforeAll(() => {
  const { Worker } = workerThreads;
  jest.spyOn(workerThreads, 'Worker').mockImplementation((...args) => {
    const worker = new Worker(...args);
    threads.push(worker);
    return worker;
  });
});

let root: string;
let logs: ContainerLogs;
let reports: CopierNumbers[];
let warnings: string[];
let counts: { reopened: number; failed: number };

const open = (options: Partial<ContainerLogsOptions> = {}): ContainerLogs =>
  new ContainerLogs({
    mode: 'copy',
    maxSizeBytes: 1_048_576,
    maxFile: 3,
    stateDir: path.join(root, 'state'),
    log: { info: () => undefined, warn: (_, message) => warnings.push(message ?? '') },
    listener: {
      copied: (numbers) => reports.push(numbers),
      reopened: () => (counts.reopened += 1),
      threadFailed: () => (counts.failed += 1),
    },
    ...options,
  });

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'stowage-logs-'));
  reports = [];
  warnings = [];
  counts = { reopened: 0, failed: 0 };
  logs = open();
});

afterEach(async () => {
  await logs.close();
  rmSync(root, { recursive: true, force: true });
});

function container(id: string, mode: 'copy' | 'link' = 'copy') {
  const folder = path.join(root, 'engine', id);
  mkdirSync(folder, { recursive: true });
  const writer = new EngineLogWriter(folder);
  const logPath = path.join(root, 'pods', id, '0.log');
  return { writer, logPath, id, described: { id, mode, logPath, enginePath: writer.path } };
}

const read = (file: string) => readFileSync(file, 'utf8');
const copied = (one: ReturnType<typeof container>) =>
  eventuallyPasses(() => expect(read(one.logPath)).toBe(one.writer.expected()));

/** Whether the system notifies this process of changes in the engine's folder. */
function isWatched({ writer }: ReturnType<typeof container>): boolean {
  const inode = statSync(writer.folder).ino.toString(16);
  return readdirSync('/proc/self/fdinfo').some((fd) => {
    try {
      return read(`/proc/self/fdinfo/${fd}`).includes(` ino:${inode} `);
    } catch {
      return false; // Closed meanwhile.
    }
  });
}

it('asks the engine for its json-file driver, rotated and uncompressed, whatever its default is', () => {
  expect(logs.engineConfig()).toEqual({
    Type: 'json-file',
    Config: { 'max-size': '1048576', 'max-file': '3', compress: 'false' },
  });
});

it('makes the file before the start, copies while the container runs, and all of it at the end', async () => {
  const one = container('c1');
  await logs.prepare(one.described);
  expect(read(one.logPath)).toBe('');
  await logs.follow(one.described);
  one.writer.write('first\n');
  await copied(one);
  await eventually(() => isWatched(one));
  one.writer.write('second\n');
  await copied(one);
  // So many changes in a second that it is not watched any more.
  let number = 0;
  await eventually(
    () => {
      for (let time = 0; time < 10; time += 1) one.writer.write(`${(number += 1)}\n`);
      return !isWatched(one);
    },
    { intervalMs: 1 },
  );
  await copied(one);
  await eventually(() => isWatched(one));
  one.writer.write('last words');
  await logs.ended(one.id, { withinMs: 30_000 });
  expect(read(one.logPath)).toBe(one.writer.expected());
  await logs.ended(one.id, { withinMs: 0 });
  const bytes = () => reports.reduce((sum, report) => sum + report.bytes, 0);
  await eventually(() => bytes() === Buffer.byteLength(one.writer.expected()));
  expect(reports.at(-1)).toMatchObject({ lagBytes: 0, blocked: 0 });
});

it('a line of a quiet log is there soon', async () => {
  const one = container('quiet');
  await logs.follow(one.described);
  for (let time = 0; time < 3; time += 1) {
    await eventually(() => isWatched(one));
    one.writer.write('line\n');
    const before = performance.now();
    await copied(one);
    expect(performance.now() - before).toBeLessThan(1000);
  }
});

it('continues after a close with what was written meanwhile', async () => {
  const one = container('c1');
  await logs.follow(one.described);
  one.writer.write('before\n');
  await copied(one);
  await logs.close();
  one.writer.write('meanwhile\n');
  logs = open();
  await logs.follow(one.described);
  one.writer.write('after\n');
  await copied(one);
});

it('follows all containers again when the thread has ended by itself', async () => {
  const [one, other] = [container('c1'), container('c2')];
  await logs.follow(one.described);
  await logs.follow(other.described);
  one.writer.write('before\n');
  await copied(one);
  await threads.at(-1)?.terminate();
  await eventually(() => counts.failed === 1);
  await expect(logs.reopen(one.id)).rejects.toThrow('logs are not copied at present');
  one.writer.write('after\n');
  other.writer.write('after\n');
  await copied(one);
  await copied(other);
  await logs.ended(one.id, { withinMs: 30_000 });
});

describe('reopen', () => {
  it('continues in a new file', async () => {
    const one = container('c1');
    await logs.follow(one.described);
    one.writer.write('old\n');
    await copied(one);
    renameSync(one.logPath, `${one.logPath}.1`);
    await logs.reopen(one.id);
    expect(read(one.logPath)).toBe('');
    const entry = one.writer.write('new\n');
    await eventuallyPasses(() => expect(read(one.logPath)).toBe(criLine(entry)));
    expect(counts.reopened).toBe(1);
  });

  it('is refused for what does not run, is not known, or is a link', async () => {
    const one = container('c1');
    await expect(logs.reopen('c1')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await logs.follow(one.described);
    await logs.ended(one.id, { withinMs: 30_000 });
    renameSync(one.logPath, `${one.logPath}.1`);
    await expect(logs.reopen(one.id)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(readdirSync(path.dirname(one.logPath))).toEqual(['0.log.1']);
    const link = container('c2', 'link');
    await logs.follow(link.described);
    await expect(logs.reopen(link.id)).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
  });

  it('rejects with the reason when the path cannot be opened', async () => {
    const one = container('c1');
    await logs.follow(one.described);
    await copied(one);
    rmSync(one.logPath);
    mkdirSync(one.logPath);
    await expect(logs.reopen(one.id)).rejects.toThrow('EISDIR');
  });
});

it('ended waits no longer than it is given, while the log cannot be written', async () => {
  const one = container('c1');
  mkdirSync(one.logPath, { recursive: true });
  one.writer.write('a\n');
  await logs.follow(one.described);
  const before = performance.now();
  await logs.ended(one.id, { withinMs: 200 });
  expect(performance.now() - before).toBeLessThan(1500);
  await eventually(() => warnings.includes('the log of a container cannot be copied'));
  await eventually(() =>
    reports.some(({ targetErrors, blocked }) => targetErrors > 0 && blocked === 1),
  );
  rmSync(one.logPath, { recursive: true });
  await logs.ended(one.id, { withinMs: 30_000 });
  expect(read(one.logPath)).toBe(one.writer.expected());
});

it('a container without a log path has no log, and nothing to wait for', async () => {
  const none = { ...container('c1').described, logPath: '' };
  await logs.prepare(none);
  await logs.follow(none);
  await logs.reopen('c1');
  await logs.ended('c1', { withinMs: 30_000 });
  await logs.removed('c1');
});

it('forgets a removed container, whose file stays, and those that were removed unseen', async () => {
  const [one, unseen] = [container('c1'), container('c2')];
  for (const each of [one, unseen]) {
    await logs.follow(each.described);
    each.writer.write('a\n');
    await logs.ended(each.id, { withinMs: 30_000 });
  }
  await logs.removed(one.id);
  expect(read(one.logPath)).toBe(one.writer.expected());
  await logs.close();
  logs = open();
  logs.keepOnly([]);
  // Without a position the lines are found in the copy; without that as well all are copied.
  for (const each of [one, unseen]) {
    rmSync(each.logPath);
    await logs.follow(each.described);
    await logs.ended(each.id, { withinMs: 30_000 });
    expect(read(each.logPath)).toBe(each.writer.expected());
  }
});

describe('link', () => {
  it("leads to the engine's file, in the place of a file or another link", async () => {
    const one = container('c1', 'link');
    await logs.prepare(one.described);
    await logs.follow(one.described);
    expect(readlinkSync(one.logPath)).toBe(one.writer.path);
    for (const make of [
      () => symlinkSync('/nowhere', one.logPath),
      () => writeFileSync(one.logPath, 'old'),
      () => symlinkSync(one.writer.path, one.logPath),
    ]) {
      rmSync(one.logPath, { force: true });
      make();
      await logs.follow(one.described);
      expect(readlinkSync(one.logPath)).toBe(one.writer.path);
    }
    await logs.ended(one.id, { withinMs: 30_000 });
  });

  it("goes with the container, though the engine's folder is gone; anything else stays", async () => {
    const one = container('c1', 'link');
    await logs.follow(one.described);
    rmSync(path.dirname(one.writer.path), { recursive: true });
    await logs.removed(one.id);
    expect(() => lstatSync(one.logPath)).toThrow('ENOENT');
    for (const make of [
      (file: string) => symlinkSync('/nowhere', file),
      (file: string) => writeFileSync(file, 'mine'),
    ]) {
      const other = container('c2', 'link');
      await logs.follow(other.described);
      rmSync(other.logPath);
      make(other.logPath);
      await logs.removed(other.id);
      expect(lstatSync(other.logPath)).toBeDefined();
      rmSync(other.logPath);
    }
    await logs.removed('never known');
  });
});
