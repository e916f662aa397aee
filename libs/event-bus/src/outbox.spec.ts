import { eventNames, type EventName } from '@stowage/events';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { StateDirInUseError } from './errors';
import { Outbox, withDropped, type DropRecord, type OutboxEvent } from './outbox';
import { recordingLog, temporaryFolder, type LogLine } from './testing/test-bus';

let folder: string;
let outbox: Outbox;
let lines: LogLine[];
const now = () => new Date('2026-11-20T22:12:00.000Z');

function open(settings: { maxEvents?: number; maxBytes?: number } = {}): Outbox {
  const recording = recordingLog();
  lines = recording.lines;
  return new Outbox({
    stateDir: folder,
    maxEvents: 100,
    maxBytes: 1e6,
    ...settings,
    log: recording.log,
    now,
  });
}

const row = (sequence: number, name: EventName = 'ContainerStarted', sizeBytes = 10) => ({
  id: `id-${String(sequence)}`,
  name,
  subject: 'stowage.event.n.container.started',
  timeMs: sequence * 1000,
  sizeBytes,
  message: `message ${String(sequence)}`,
});

function append(count: number, target = outbox, sizeBytes = 10): OutboxEvent[] {
  return Array.from({ length: count }, () =>
    target.append((sequence) => row(sequence, 'ContainerStarted', sizeBytes)),
  );
}

/** The EventsDropped row that a bus makes. */
const droppedEvent = (record: DropRecord) => ({
  ...row(record.lastSequence, 'EventsDropped'),
  message: JSON.stringify({ data: record }),
});

const sequences = (events: readonly OutboxEvent[]) => events.map(({ sequence }) => sequence);
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

beforeEach(() => {
  folder = temporaryFolder();
  outbox = open();
});

afterEach(() => {
  outbox.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('order and sequence', () => {
  it('gives rising sequences from 1 and reads in that order', () => {
    expect(sequences(append(5))).toEqual([1, 2, 3, 4, 5]);
    expect(sequences(outbox.nextBatch(3, 1e6))).toEqual([1, 2, 3]);
    expect(outbox.nextBatch(1, 1e6)[0]).toEqual({ ...row(1), sequence: 1 });
    expect(outbox).toMatchObject({ pending: 5, pendingBytes: 50, trouble: undefined });
    expect(outbox.oldestTimeMs()).toBe(1000);
  });

  it('goes on where it was after a restart, with and without events left', () => {
    const events = append(5);
    outbox.settle(outbox.nextBatch(3, 1e6), events.slice(0, 3));
    outbox.close();
    outbox = open();
    expect(outbox).toMatchObject({ pending: 2, pendingBytes: 20 });
    const rest = outbox.nextBatch(10, 1e6);
    expect(sequences(rest)).toEqual([4, 5]);
    outbox.settle(rest, rest);
    outbox.close();
    outbox = open();
    expect(outbox.pending).toBe(0);
    expect(outbox.oldestTimeMs()).toBeUndefined();
    expect(sequences(append(1))).toEqual([6]);
  });

  it('bounds a batch by bytes and holds at least one event', () => {
    append(3, outbox, 100);
    expect(sequences(outbox.nextBatch(10, 250))).toEqual([1, 2]);
    expect(sequences(outbox.nextBatch(10, 1))).toEqual([1]);
  });

  it('keeps what was not acknowledged, also from the middle of a batch', () => {
    append(5);
    const batch = outbox.nextBatch(5, 1e6);
    outbox.settle(batch, [batch[0]!, batch[2]!, batch[4]!]);
    expect(sequences(outbox.nextBatch(5, 1e6))).toEqual([2, 4]);
    expect(outbox).toMatchObject({ pending: 2, pendingBytes: 20 });
  });

  it('takes many events at once, in order, and stays within its bound', () => {
    append(2);
    const items = Array.from({ length: 150 }, (_, at) => at);
    const appended = outbox.appendAll(items, (_, sequence) => row(sequence));
    expect(sequences(appended)).toEqual(range(3, 152));
    expect(outbox.pending).toBe(101);
    expect(sequences(outbox.nextBatch(200, 1e6))).toEqual(range(53, 152));
    expect(outbox.appendAll([], (_, sequence) => row(sequence))).toEqual([]);
    outbox.close();
    outbox = open();
    expect(sequences(append(1))).toEqual([153]);
  });

  it('does not use up a sequence when making the event throws', () => {
    expect(() =>
      outbox.append(() => {
        throw new Error('too large');
      }),
    ).toThrow('too large');
    expect(sequences(append(1))).toEqual([1]);
  });
});

describe('bounds', () => {
  it.each([
    ['by count', { maxEvents: 10 }],
    ['by bytes', { maxBytes: 100 }],
  ])('the oldest go %s and are reported in place of the last of them', (_case, bounds) => {
    outbox.close();
    outbox = open(bounds);
    append(25);
    expect(outbox).toMatchObject({ droppedCount: 15, pendingBytes: 100 });
    const records: DropRecord[] = [];
    outbox.reportDropped((record) => {
      records.push(record);
      return droppedEvent(record);
    });
    expect(records).toEqual([
      {
        reason: 'outbox-full',
        count: 15,
        bytes: 150,
        firstSequence: 1,
        lastSequence: 15,
        oldestTime: '1970-01-01T00:00:01.000Z',
        newestTime: '1970-01-01T00:00:15.000Z',
        countByName: { ContainerStarted: 15 },
      },
    ]);
    const batch = outbox.nextBatch(100, 1e6);
    expect(batch[0]).toMatchObject({ sequence: 15, name: 'EventsDropped' });
    expect(sequences(batch)).toEqual(range(15, 25));
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([
      {
        level: 'warn',
        message: 'outbox is full: the oldest events are dropped',
        fields: { maxEvents: 100, maxBytes: 1e6, ...bounds },
      },
    ]);
  });

  it('what was dropped is reported once, also across a restart', () => {
    outbox.close();
    outbox = open({ maxEvents: 3 });
    append(5);
    outbox.close();
    outbox = open({ maxEvents: 3 });
    expect(outbox.pending).toBe(4);
    append(1);
    const records: DropRecord[] = [];
    const report = () => {
      outbox.reportDropped((record) => {
        records.push(record);
        return droppedEvent(record);
      });
    };
    report();
    report();
    expect(records.map(({ count, lastSequence }) => [count, lastSequence])).toEqual([[3, 3]]);
  });

  it('a dropped EventsDropped is counted with the events that it reported', () => {
    outbox.close();
    outbox = open({ maxEvents: 3 });
    append(5);
    outbox.reportDropped(droppedEvent);
    append(3);
    const records: DropRecord[] = [];
    outbox.reportDropped((record) => {
      records.push(record);
      return droppedEvent(record);
    });
    expect(records).toEqual([
      expect.objectContaining({
        count: 5,
        firstSequence: 1,
        lastSequence: 5,
        countByName: { ContainerStarted: 5 },
      }),
    ]);
  });

  it('does not drop what is being sent', () => {
    outbox.close();
    outbox = open({ maxEvents: 4 });
    append(4);
    const batch = outbox.nextBatch(2, 1e6);
    append(2);
    outbox.settle(batch, batch);
    expect(outbox.droppedCount).toBe(2);
    outbox.reportDropped(droppedEvent);
    expect(sequences(outbox.nextBatch(10, 1e6))).toEqual([4, 5, 6]);
  });

  it('keeps the newest event even when it alone is beyond the bound', () => {
    outbox.close();
    outbox = open({ maxBytes: 5 });
    append(2);
    expect(sequences(outbox.nextBatch(10, 1e6))).toEqual([2]);
  });

  it('gives one event up on request', () => {
    append(3);
    const [first] = outbox.nextBatch(1, 1e6);
    outbox.settle([], []);
    expect(outbox.drop(first!, 'too-large')).toBe(true);
    outbox.reportDropped(droppedEvent);
    const batch = outbox.nextBatch(10, 1e6);
    expect(sequences(batch)).toEqual([1, 2, 3]);
    expect(JSON.parse(batch[0]!.message)).toMatchObject({
      data: { reason: 'too-large', count: 1, firstSequence: 1, lastSequence: 1 },
    });
  });

  it('counts every event by name', () => {
    const record = eventNames
      .filter((name) => name !== 'EventsDropped')
      .reduce<DropRecord | undefined>(
        (before, name, i) =>
          withDropped(before, { ...row(i + 1, name), sequence: i + 1 }, 'outbox-full'),
        undefined,
      );
    expect(record?.count).toBe(eventNames.length - 1);
    expect(new Set(Object.values(record?.countByName ?? {}))).toEqual(new Set([1]));
  });
});

describe('the file', () => {
  const file = () => path.join(folder, 'outbox.db');

  it('of 26c2345 is opened with its events, what was dropped and the sequence', () => {
    outbox.close();
    cpSync(path.join(__dirname, '../../sqlite/testdata/26c2345'), folder, { recursive: true });
    outbox = open();
    expect(lines).toEqual([]);
    expect(outbox).toMatchObject({ trouble: undefined, pending: 5, pendingBytes: 1644 });
    const events = outbox.nextBatch(10, 1e6);
    expect(events.map(({ sequence, id, name }) => [sequence, id, name])).toEqual([
      [3, '01M7WD7TG02Q5FR2HGVZQCK9AP', 'ImageDetected'],
      [4, '01M7WD7TG01MSP245J2VZKDCMX', 'ImageDetected'],
      [5, '01M7WD7TG01MSP245J2VZKDCMY', 'ImageDetected'],
      [6, '01M7WD7TG01MSP245J2VZKDCMZ', 'ImageDetected'],
    ]);
    for (const { id, sequence, subject, timeMs, message } of events) {
      expect([subject, timeMs]).toEqual([
        'stowage.event.node-1_example.image.detected',
        Date.parse('2026-11-20T12:00:00.000Z'),
      ]);
      expect(JSON.parse(message)).toMatchObject({
        id,
        sequence: String(sequence).padStart(16, '0'),
        data: { imageId: `sha256:${'_abcdef'[sequence]!}` },
      });
    }
    outbox.settle(events, []);
    const records: DropRecord[] = [];
    outbox.reportDropped((record) => {
      records.push(record);
      return droppedEvent(record);
    });
    expect(records).toMatchObject([{ reason: 'outbox-full', count: 2, lastSequence: 2 }]);
    expect(sequences(append(1))).toEqual([7]);
  });

  it('is refused to a second opener', () => {
    append(1);
    expect(() => open()).toThrow(StateDirInUseError);
    expect(() => open()).toThrow(
      `state directory ${folder} is in use by another process: each service needs one of its own`,
    );
  });

  it.each([
    ['a file where the folder should be', () => path.join(folder, 'outbox.db'), 'EEXIST'],
    ['a folder below a file', () => path.join(folder, 'outbox.db', 'x'), 'ENOTDIR'],
    ['a folder that cannot be made', () => '/proc/stowage/state', 'ENOENT'],
  ])('%s keeps events in memory, and says so', (_case, stateDir, reason) => {
    const { log } = recordingLog();
    const unwritable = new Outbox({
      stateDir: stateDir(),
      maxEvents: 10,
      maxBytes: 1e6,
      log,
      now,
    });
    expect(unwritable.trouble).toMatch(new RegExp(`^outbox file cannot be written: ${reason}: `));
    append(2, unwritable);
    const batch = unwritable.nextBatch(10, 1e6);
    expect(sequences(batch)).toEqual([1, 2]);
    unwritable.settle(batch, batch);
    expect(unwritable.pending).toBe(0);
    unwritable.close();
  });

  it.each<[string, string, (file: string) => void]>([
    ['a named pipe', '', (at) => execFileSync('mkfifo', [at])],
    ['a directory', '', (at) => mkdirSync(at)],
    ['a device', '', (at) => symlinkSync('/dev/zero', at)],
    ['a named pipe', '-wal', (at) => execFileSync('mkfifo', [at])],
  ])('%s in place of outbox.db%s is refused at once', (kind, log, make) => {
    const stateDir = path.join(folder, 'other');
    mkdirSync(stateDir);
    const at = path.join(stateDir, `outbox.db${log}`);
    make(at);
    const settings = { stateDir, maxEvents: 1, maxBytes: 1, log: recordingLog().log, now };
    expect(() => new Outbox(settings)).toThrow(
      `${at} is ${kind}; a state file has to be a regular file`,
    );
    rmSync(at, { recursive: true });
  });

  it.each<[string, () => void]>([
    ['not a database', () => writeFileSync(file(), 'x'.repeat(10_000))],
    ['cut short', () => truncateSync(file(), statSync(file()).size - 4096)],
    [
      'damaged inside',
      () => {
        const bytes = readFileSync(file());
        bytes.fill(0xa5, 4096);
        writeFileSync(file(), bytes);
      },
    ],
  ])('%s is set aside, with a warning, and begun anew with a higher sequence', (_case, damage) => {
    append(100);
    outbox.close();
    damage();
    outbox = open();
    const [kept, ...others] = readdirSync(folder).filter((name) => name.includes('unusable'));
    expect(kept).toBe('outbox.db.unusable-2026-11-20T221200.000Z');
    expect(others).toEqual([]);
    expect(lines).toEqual([
      {
        level: 'warn',
        message:
          'outbox file could not be read: it was set aside and a new one begun; the events in it are not delivered',
        fields: {
          file: file(),
          setAside: path.join(folder, kept!),
          reason: expect.any(String) as string,
        },
      },
    ]);
    const at = now().getTime();
    expect(sequences(append(1))).toEqual([at + 1]);
    const records: DropRecord[] = [];
    outbox.reportDropped((record) => {
      records.push(record);
      return droppedEvent(record);
    });
    expect(records).toEqual([{ reason: 'outbox-corrupt', lastSequence: at }]);
    expect(sequences(outbox.nextBatch(10, 1e6))).toEqual([at, at + 1]);
    outbox.close();
    outbox = open();
    expect(sequences(append(1))).toEqual([at + 2]);
  });

  it('takes what came while others were being sent, once it takes writes again', () => {
    append(1);
    // It takes no event without an id either, as a full disk takes none at all.
    outbox.append((sequence) => ({ ...row(sequence), id: null as unknown as string }));
    expect(outbox.trouble).toMatch(/^outbox file cannot be written: /);
    const batch = outbox.nextBatch(10, 1e6);
    append(1);
    outbox.settle(batch, batch);
    expect(outbox.trouble).toBeUndefined();
    outbox.close();
    expect(lines.map(({ message }) => message)).not.toContainEqual(
      expect.stringContaining('events in memory are lost'),
    );
    outbox = open();
    expect(sequences(outbox.nextBatch(10, 1e6))).toEqual([3]);
  });

  it('of a newer release is refused and left as it is', () => {
    append(3);
    outbox.close();
    const bytes = readFileSync(file());
    bytes.writeUInt32BE(9, 60);
    writeFileSync(file(), bytes);
    expect(() => open()).toThrow(
      `${file()} was written by a newer release: it has schema version 9, this release knows 1; start the newer release again, or move ${file()} and ${file()}-wal away, which loses the events in it and the sequence, which restarts`,
    );
    expect(readFileSync(file())).toEqual(bytes);
    expect(readdirSync(folder)).toEqual(['outbox.db']);
    bytes.writeUInt32BE(1, 60);
    writeFileSync(file(), bytes);
    outbox = open();
    expect(outbox.pending).toBe(3);
  });

  it('keeps only the newest file that was set aside', () => {
    for (const old of ['1', '2']) writeFileSync(`${file()}.unusable-${old}`, '');
    outbox.close();
    writeFileSync(file(), 'x'.repeat(10_000));
    outbox = open();
    expect(readdirSync(folder).filter((name) => name.includes('unusable'))).toEqual([
      'outbox.db.unusable-2026-11-20T221200.000Z',
    ]);
  });

  it('an empty file is a new outbox', () => {
    outbox.close();
    writeFileSync(file(), '');
    outbox = open();
    expect(lines).toEqual([]);
    expect(sequences(append(1))).toEqual([1]);
  });
});
