import { gcWorker } from '@stowage/commands';
import { createEvent, eventDefinition, parseEvent, type StowageEvent } from '@stowage/events';
import type { ShownPull } from '../commands/pulls';
import type { GcStatus, NodeStatus } from '../services/node-status';
import { diskBar } from './disk-bar';
import { frame, shares, type TopState } from './frame';
import { beginOf, endOf, paintLine, textOf, type Line } from './line';
import { Screen } from './screen';

const now = Date.parse('2026-11-20T12:00:05Z');
const plain = (line: Line): string => line.map(textOf).join('');
const textIn = (state: TopState, columns: number, rows: number): string[] =>
  frame(state, { columns, rows }, now).map((line) => {
    const painted = paintLine(line, columns, (text) => text);
    expect(painted).toHaveLength(columns);
    return painted.trimEnd();
  });

const reply = gcWorker.status.example.reply as unknown as GcStatus;
const [exampleDisk] = reply.disks;

function disk(more: Partial<GcStatus['disks'][number]> = {}): GcStatus['disks'][number] {
  if (exampleDisk === undefined) throw new Error('the example has no disk');
  return {
    ...exampleDisk,
    mountpoint: '/var/lib/containerd',
    capacityBytes: 100 * 2 ** 30,
    availableBytes: 40 * 2 ** 30,
    usedPercent: 60,
    trend: {},
    breakdown: {
      usedBytes: 60 * 2 ** 30,
      imageBytes: 30 * 2 ** 30,
      containerBytes: 10 * 2 ** 30,
      otherBytes: 20 * 2 ** 30,
    },
    ...more,
  };
}

const status = (node: string, disks = [disk()]): NodeStatus => ({
  node,
  gateway: { error: 'nobody answers', isAbsent: true },
  shim: { error: 'nobody answers', isAbsent: true },
  version: {},
  stats: { error: 'nobody answers', isAbsent: true },
  gc: { reply: { ...reply, disks } },
  infos: {},
  discovered: [],
});

function event(reason: string, sequence: number): StowageEvent {
  const { subject, data } = eventDefinition('EventsDropped').example;
  const id = `01KAJB5V1B3D5F7H9K1N3Q${String(sequence).padStart(4, '0')}`;
  const attributes = {
    id,
    node: 'node-1',
    app: 'gc-worker',
    subject,
    time: new Date(now),
    sequence,
  };
  return parseEvent(JSON.stringify(createEvent('EventsDropped', attributes, { ...data, reason })));
}

const pull = (number: number, more: Partial<ShownPull> = {}): ShownPull => ({
  node: 'node-1',
  pullId: String(number),
  reference: `registry.example.com/team/app-${number}:1.4`,
  state: 'running',
  percent: 45,
  bytes: 12 * 2 ** 20,
  totalBytes: 26 * 2 ** 20,
  bytesPerSecond: 5 * 2 ** 20,
  remainingMs: 3000,
  ...more,
});

const one: TopState = {
  nodes: ['node-1'],
  statuses: [status('node-1')],
  pulls: [pull(1)],
  pullProblems: [],
  arePullsKnown: true,
  events: Array.from({ length: 40 }, (_, at) => event(`reason ${at}`, at + 1)),
  askedAt: now,
};

describe('the frame', () => {
  it('has services, disks with marks, pulls with bars, and the last events', () => {
    const lines = textIn(one, 80, 24);
    const text = lines.join('\n');
    expect(lines[0]).toMatch(/^stowctl top {2}node-1 .*12:00:05 UTC {2}q quits$/);
    expect(text).toMatch(/^ runtime-gateway {2}absent/m);
    expect(text).toMatch(/^ gc-worker {8}ok/m);
    expect(text).toMatch(/^ \/var\/lib\/containerd .* 60 % of 100\.0 GiB, 40\.0 GiB free/m);
    expect(text).toMatch(/\[#+\++o+\.+\|\.*!\.*\] 30\.0 GiB \+ 10\.0 GiB \+ 20\.0 GiB/);
    expect(text).toMatch(/\[#{5}\.{5}\] 45 % .*app-1:1\.4 +12\.0 MiB of 26\.0 MiB {2}5\.0 MiB\/s/);
    expect(lines.at(-1)).toContain('reason 39');
    expect(text).not.toMatch(/reason 2$/m);
  });

  it.each([
    [80, 24],
    [132, 43],
    [200, 60],
  ])('fills %d x %d exactly, whatever there is to show', (columns, rows) => {
    const nodes = Array.from({ length: 30 }, (_, at) => `worker-${at}.a-long-domain.example.net`);
    const many: TopState = {
      nodes,
      statuses: nodes.map((node) =>
        status(node, [disk(), disk({ mountpoint: `/a${'/b'.repeat(80)}` })]),
      ),
      pulls: Array.from({ length: 25 }, (_, at) => pull(at, { reference: 'x'.repeat(at * 20) })),
      pullProblems: nodes.map((name, at) => ({ node: name, problem: `problem ${at % 3}` })),
      arePullsKnown: false,
      events: one.events,
      eventsProblem: 'events cannot be read',
    };
    const nothing = { pulls: [], pullProblems: [], arePullsKnown: false, events: [] };
    for (const state of [one, many, { nodes: ['node-1'], statuses: [], ...nothing }]) {
      const lines = textIn(state, columns, rows);
      expect(lines).toHaveLength(rows);
      for (const name of ['SERVICES', 'DISKS', 'PULLS', 'EVENTS']) {
        expect(lines.filter((line) => line.startsWith(name))).toHaveLength(1);
      }
    }
    const text = textIn(many, columns, rows).join('\n');
    expect(text.match(/\.\.\. \d+ more lines/g)).toHaveLength(3);
    expect(text).toContain('events cannot be read');
  });

  it('says what a small terminal lacks, and how old the answers are', () => {
    expect(textIn(one, 79, 24)[0]).toBe('79x24 is too small for top: it needs 80x24');
    expect(textIn(one, 80, 23)).toHaveLength(23);
    expect(textIn({ ...one, askedAt: now - 65_000 }, 80, 24)[0]).toContain('answers are 1m5s old');
  });

  it('says which pulls wait, which are not known and why', () => {
    const pullsOf = (more: Partial<TopState>): string[] => {
      const lines = textIn({ ...one, ...more }, 80, 24);
      const at = lines.indexOf('PULLS');
      return lines.slice(at + 1, lines.indexOf('EVENTS'));
    };
    const waiting = pull(2, {
      state: 'waiting',
      ...{
        percent: undefined,
        bytes: undefined,
        bytesPerSecond: undefined,
        remainingMs: undefined,
      },
    });
    expect(pullsOf({ pulls: [waiting] })).toEqual([
      expect.stringMatching(/^ waiting {12}registry\.example\.com\/team\/app-2:1\.4$/),
    ]);
    const away = 'image-service does not answer';
    const pullProblems = ['node-1', 'node-2'].map((node) => ({ node, problem: away }));
    const onThisNode = pullProblems.slice(0, 1);
    expect(pullsOf({ pulls: [], pullProblems: onThisNode })).toEqual([` not known: ${away}`]);
    const nodes = ['node-1', 'node-2', 'node-3'];
    expect(pullsOf({ nodes, pulls: [pull(1)], pullProblems })).toEqual([
      expect.stringMatching(/^ \[#{5}\.{5}\] 45 %/),
      ` not known on node-1 and 1 more: ${away}`,
    ]);
    expect(pullsOf({ pulls: [], arePullsKnown: false })).toEqual([' asking ...']);
    expect(pullsOf({ pulls: [] })).toEqual([' nothing is being pulled']);
  });

  it('lets no control character through', () => {
    const hostile = 'a\u001b[2J\u001b]0;title\u0007\r\n\u009bb\u202e';
    const state: TopState = {
      nodes: ['node-1'],
      statuses: [status('node-1', [disk({ mountpoint: `/${hostile}` })])],
      pulls: [pull(1, { reference: hostile })],
      pullProblems: [{ node: 'node-1', problem: hostile }],
      arePullsKnown: true,
      events: [event(hostile, 1)],
      eventsProblem: hostile,
    };
    const text = textIn(state, 132, 43).join('\n');
    expect(text).toContain('a\\u001b[2J\\u001b]0;title\\u0007');
    expect(text.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
  });
});

describe('the bar of a disk', () => {
  const bar = (more: Parameters<typeof disk>[0], policy: Partial<GcStatus['policy']> = {}) => {
    const percents = { lowThresholdPercent: 80, highThresholdPercent: 90 };
    return plain(diskBar(disk(more), { ...reply.policy, ...percents, ...policy }, 22));
  };

  it.each<[string, Parameters<typeof disk>[0], Partial<GcStatus['policy']>, string]>([
    ['parts and marks', {}, {}, '[######++oooo...|.!..]'],
    ['without a breakdown', { breakdown: undefined }, {}, '[============...|.!..]'],
    ['full', { availableBytes: 0, breakdown: undefined }, {}, '[===============|=!==]'],
    [
      'marks as available bytes',
      {},
      { highMarkAvailableBytes: 5 * 2 ** 30, lowMarkAvailableBytes: 30 * 2 ** 30 },
      '[######++oooo.|....!.]',
    ],
    ['a threshold that is off', {}, { highThresholdPercent: 100 }, '[######++oooo...|....]'],
    ['of nothing', { capacityBytes: 0, availableBytes: 0 }, {}, '[...............|.!..]'],
  ])('%s', (_what, more, policy, expected) => {
    expect(bar(more, policy)).toBe(expected);
  });
});

it.each([
  [[3, 2, 1], 15, [3, 2, 1]],
  [[3, 20, 1], 15, [3, 11, 1]],
  [[10, 20, 30], 15, [5, 5, 5]],
  [[1, 1, 1], 2, [1, 1, 1]],
])('%j lines in %d rows', (wanted, rows, given) => {
  expect(shares(wanted, rows)).toEqual(given);
});

describe('a line', () => {
  it('is cut at the width, wide characters and pairs included', () => {
    const paint = (text: string) => `<${text}>`;
    expect(paintLine(['ab', { text: 'cdef', tone: 'bad' }, 'g'], 4, paint)).toBe('ab<cd>');
    expect(paintLine(['ab'], 4, paint)).toBe('ab  ');
    expect(paintLine(['\u6f22\u5b57x'], 3, paint)).toBe('\u6f22 ');
    expect(paintLine(['\u{1f4a5}\u{1f4a5}'], 3, paint)).toBe('\u{1f4a5} ');
  });

  it('shows the end of a path and the beginning of a text', () => {
    expect([endOf('registry/team/app:1', 10), endOf('a', 3)]).toEqual(['..am/app:1', 'a  ']);
    expect([beginOf('stowctl top', 6), beginOf('a', 3)]).toEqual(['stow..', 'a  ']);
  });
});

describe('the screen', () => {
  const open = () => {
    const written: string[] = [];
    const screen = new Screen({ columns: 80, rows: 24, write: (text) => written.push(text) });
    screen.open();
    return { screen, written };
  };

  it('writes lines that have changed, and nothing where none has', () => {
    const { screen, written } = open();
    screen.draw(['one', 'two', 'three']);
    written.length = 0;
    screen.draw(['one', 'TWO', 'three']);
    expect(written).toEqual(['\u001b[2;1HTWO']);
    screen.draw(['one', 'TWO', 'three']);
    expect(written).toHaveLength(1);
    screen.clear();
    screen.draw(['one', 'TWO', 'three']);
    expect(written.at(-1)).toContain('\u001b[1;1Hone');
  });

  it('gives the terminal back once, with cursor, wrapping and its own screen', () => {
    const { screen, written } = open();
    screen.close();
    screen.close();
    screen.draw(['late']);
    expect(written).toEqual([
      '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J',
      '\u001b[?7h\u001b[?25h\u001b[?1049l',
    ]);
  });
});
