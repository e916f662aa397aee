import fc from 'fast-check';
import fs, {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { EngineLogWriter } from '../testing/engine-log-writer';
import { limitWrites } from '../testing/limit-writes';
import type { LogPosition } from './find-resumption';
import { LogCopy, LogCopyError } from './log-copy';
import { copyBuffers } from './read-batch';

/*
 * What others do between any two calls of the system: kubelet rotates, the process is killed, the
 * disk of the target is full.
 */

class Killed extends Error {}
const kill = (): never => {
  isKilled = true;
  isCopying = true;
  throw new Killed();
};

/** Something that happens before so many calls of the system. */
interface Moment {
  calls: number;
  readonly happens: () => void;
}

let isCopying = false;
/** The process is gone: no call of the system succeeds any more. */
let isKilled = false;
let moment: Moment | undefined;
/** On the disk of the target. */
const room = { bytes: Infinity };
/** Descriptors of the process that copies. */
const descriptors = new Set<number>();

const systemCalls = [
  'readSync',
  'fstatSync',
  'statSync',
  'lstatSync',
  'readdirSync',
  'ftruncateSync',
  'truncateSync',
] as const;

function beforeCall(): void {
  if (!isCopying) return;
  if (isKilled) throw new Killed();
  if (moment === undefined || --moment.calls > 0) return;
  const { happens } = moment;
  moment = undefined;
  isCopying = false;
  happens();
  isCopying = true;
}

beforeAll(() => {
  for (const name of systemCalls) {
    const real = fs[name] as (...args: unknown[]) => unknown;
    jest.spyOn(fs, name).mockImplementation(((...args: unknown[]) => {
      beforeCall();
      return real(...args);
    }) as never);
  }
  const { openSync, closeSync } = fs;
  jest.spyOn(fs, 'openSync').mockImplementation((...args) => {
    beforeCall();
    const fd = openSync(...args);
    if (isCopying) descriptors.add(fd);
    return fd;
  });
  jest.spyOn(fs, 'closeSync').mockImplementation((fd) => {
    beforeCall();
    descriptors.delete(fd);
    closeSync(fd);
  });
  limitWrites(room, () => {
    beforeCall();
    return isCopying;
  });
});

afterAll(() => jest.restoreAllMocks());

let root: string;
let cases = 0;

beforeAll(() => (root = mkdtempSync(path.join(tmpdir(), 'stowage-logs-'))));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const buffers = copyBuffers(64 * 1024);

/** A container's log that is copied by one process after the other, and rotated by kubelet. */
class Copied {
  readonly engine: EngineLogWriter;
  readonly target: string;
  readonly rotated: string[] = [];
  readonly #folder = path.join(root, String(++cases));
  kept: LogPosition | undefined;
  /** Whether kubelet has moved the log and not asked for a new one yet. */
  isMoved = false;
  #copy: LogCopy;

  constructor() {
    room.bytes = Infinity;
    const engine = path.join(this.#folder, 'engine');
    mkdirSync(engine, { recursive: true });
    mkdirSync(path.join(this.#folder, 'compressed'));
    this.engine = new EngineLogWriter(engine, { maxBytes: 700, maxFile: 100 });
    this.target = path.join(this.#folder, 'pods', 'app', '0.log');
    this.#copy = this.#start();
  }

  #start(): LogCopy {
    const log = { id: 'c0ffee', enginePath: this.engine.path, logPath: this.target };
    return new LogCopy(log, this.kept, buffers);
  }

  /** False when the moment did not come. */
  #run(call: (copy: LogCopy) => void, at?: Moment): boolean {
    moment = at;
    isCopying = true;
    try {
      call(this.#copy);
    } catch (error) {
      if (!isKilled && !(error instanceof LogCopyError && error.code === 'ENOSPC')) throw error;
    } finally {
      isCopying = false;
    }
    const came = moment === undefined;
    moment = undefined;
    if (isKilled) this.restart();
    return came;
  }

  step(at?: Moment): boolean {
    return this.#run((copy) => copy.step(), at);
  }

  copyAll(): void {
    room.bytes = Infinity;
    this.#run((copy) => {
      while (copy.step() !== 'end');
    });
  }

  keep(): void {
    this.kept = this.#copy.position() ?? this.kept;
  }

  restart(): void {
    this.close();
    this.#copy = this.#start();
  }

  /** kubelet moves what is not empty, and once. */
  move(): void {
    if (this.isMoved || readIfThere(this.target)?.includes('\n') !== true) return;
    this.rotated.push(`${this.target}.${String(this.rotated.length).padStart(9, '0')}`);
    renameSync(this.target, this.rotated.at(-1)!);
    this.isMoved = true;
  }

  /** As kubelet does when nobody answers. */
  moveBack(): void {
    if (!this.isMoved || (readIfThere(this.target) ?? '') !== '') return;
    renameSync(this.rotated.pop()!, this.target);
    this.isMoved = false;
  }

  /** Whether the process was killed meanwhile. */
  reopen(at?: Moment): boolean {
    const wasKilled = this.#run((copy) => copy.reopen(), at) && at !== undefined;
    if (wasKilled) this.moveBack();
    else this.isMoved = false;
    return wasKilled;
  }

  /** kubelet compresses all but the newest. */
  compress(): void {
    for (const file of this.rotated.slice(0, -1)) {
      const content = readIfThere(file);
      if (content === undefined) continue;
      writeFileSync(`${file}.gz`, gzipSync(content));
      // Not removed: its inode's number would be that of the next file.
      renameSync(file, path.join(this.#folder, 'compressed', path.basename(file)));
    }
  }

  gaps(): number {
    return this.#copy.takeNumbers().gaps;
  }

  /** Each file of the CRI's log, from the oldest to the newest. */
  files(): string[] {
    const files = this.rotated.map(
      (file) => readIfThere(file) ?? gunzipSync(readFileSync(`${file}.gz`)).toString(),
    );
    return [...files, readIfThere(this.target) ?? ''];
  }

  /** As the system closes what a process has open. */
  close(): void {
    isKilled = false;
    isCopying = false;
    moment = undefined;
    this.#copy.close();
    for (const fd of descriptors) fs.closeSync(fd);
  }

  remove(): void {
    this.close();
    rmSync(this.#folder, { recursive: true });
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Each line once and in order, and whole in one file. */
function expectWhole(log: Copied): void {
  const files = log.files();
  expect(files.join('')).toBe(log.engine.expected());
  for (const file of files) expect(file).toMatch(/^$|\n$/);
  expect(log.gaps()).toBe(0);
}

it('a log that kubelet moves at any moment of the first step after a restart, on a full disk, has every line once', () => {
  let moments = 0;
  for (let calls = 1, came = true; came; calls += 1) {
    const log = new Copied();
    log.engine.write('first\n');
    log.step();
    log.keep();
    for (let number = 0; number < 4; number += 1) log.engine.write(`${'x'.repeat(90)}${number}\n`);
    room.bytes = 300; // Ends inside of a line.
    log.step();
    log.restart();
    came = log.step({ calls, happens: () => log.move() });
    log.move();
    log.reopen();
    expect(log.files()[0]).toMatch(/\n$/);
    log.engine.write('last\n');
    log.copyAll();
    expectWhole(log);
    expect(log.rotated).toHaveLength(1);
    log.remove();
    moments += 1;
  }
  expect(moments).toBeGreaterThan(10);
});

it('a process that is killed at any moment of a reopening has every line once', () => {
  for (const isKept of [true, false]) {
    for (const hasRoom of [true, false]) {
      for (let calls = 1, wasKilled = true; wasKilled; calls += 1) {
        const log = new Copied();
        log.engine.write('first\n');
        log.step();
        if (isKept) log.keep();
        log.engine.write('second, which is longer\n');
        if (!hasRoom) room.bytes = 20;
        log.step();
        log.move();
        wasKilled = log.reopen({ calls, happens: kill });
        log.engine.write('third\n');
        log.copyAll();
        log.move();
        log.reopen();
        log.engine.write('last\n');
        log.copyAll();
        expectWhole(log);
        log.remove();
      }
    }
  }
});

type Operation =
  | { readonly do: 'write'; readonly lengths: readonly number[] }
  | { readonly do: 'step'; readonly calls: number; readonly what: 'moved' | 'killed' | 'nothing' }
  | { readonly do: 'reopen'; readonly calls: number; readonly what: 'killed' | 'nothing' }
  | { readonly do: 'kill'; readonly isMovedBack: boolean }
  | { readonly do: 'room'; readonly bytes: number }
  | { readonly do: 'move' | 'keep' | 'compress' };

const calls = fc.integer({ min: 1, max: 60 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    do: fc.constant('write' as const),
    lengths: fc.array(fc.nat(120), { minLength: 1, maxLength: 5 }),
  }),
  fc.record({
    do: fc.constant('step' as const),
    calls,
    what: fc.constantFrom('moved' as const, 'killed' as const, 'nothing' as const),
  }),
  fc.record({
    do: fc.constant('reopen' as const),
    calls,
    what: fc.constantFrom('killed' as const, 'nothing' as const),
  }),
  fc.record({ do: fc.constant('kill' as const), isMovedBack: fc.boolean() }),
  fc.record({ do: fc.constant('room' as const), bytes: fc.nat(500) }),
  fc.record({ do: fc.constantFrom('move' as const, 'keep' as const, 'compress' as const) }),
);

function operate(log: Copied, given: Operation): void {
  switch (given.do) {
    case 'write':
      for (const length of given.lengths) log.engine.write(`${'x'.repeat(length)}\n`);
      return;
    case 'step': {
      const happens = given.what === 'moved' ? () => log.move() : kill;
      log.step(given.what === 'nothing' ? undefined : { calls: given.calls, happens });
      return;
    }
    case 'reopen':
      log.reopen(given.what === 'nothing' ? undefined : { calls: given.calls, happens: kill });
      return;
    case 'kill':
      if (given.isMovedBack) log.moveBack();
      log.restart();
      return;
    case 'room':
      room.bytes = given.bytes;
      return;
    case 'move':
    case 'keep':
    case 'compress':
      log[given.do]();
  }
}

it('every line is there once, whatever happens in whatever order', () => {
  fc.assert(
    fc.property(fc.array(operation, { minLength: 5, maxLength: 40 }), (operations) => {
      const log = new Copied();
      for (const given of operations) operate(log, given);
      log.copyAll();
      if (log.isMoved) log.reopen();
      log.engine.write('last\n');
      log.copyAll();
      expectWhole(log);
      log.remove();
    }),
    { numRuns: 300 },
  );
});

it('closes what it has opened, also when it finds out where to continue', () => {
  const log = new Copied();
  for (const text of ['first\n', 'second\n', 'third\n']) {
    log.engine.write(text);
    log.copyAll();
    log.move();
    log.reopen();
    log.restart();
  }
  log.copyAll();
  // The engine's log and the target.
  expect(descriptors.size).toBe(2);
  log.remove();
});
