import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gcWorker } from '@stowage/commands';
import type { StreamConfig } from 'nats';
import type { GcStatus, NodeStatus } from '../services/node-status';
import { kubeletFindings } from './machine-findings';
import { clockFindings, settingsFindings } from './nats-findings';
import { gcFindings, versionFindings } from './node-findings';
import { streamConfig } from '@stowage/event-bus/client';
import {
  catalogue,
  finding,
  inOrder,
  natsProblem,
  runtimeProblem,
  stateProblem,
  type FindingId,
} from '@stowage/status-view';

it('the page names every finding', () => {
  const page = readFileSync(path.resolve(__dirname, '../../../../docs/stowctl.md'), 'utf8');
  const missing = Object.keys(catalogue).filter((id) => !page.includes(`| \`${id}\``));
  expect(missing).toEqual([]);
});

it.each<[string, FindingId]>([
  ['connect ENOENT /run/containerd/containerd.sock', 'runtime-socket-missing'],
  ['connect EACCES /run/containerd/containerd.sock', 'runtime-permission'],
  ['connect ECONNREFUSED /run/containerd/containerd.sock', 'runtime-stale-socket'],
  ["it answers but does not serve the CRI's runtime service", 'runtime-without-cri'],
  ['the connection was lost', 'runtime-down'],
])('a runtime with %j', (reason, id) => expect(runtimeProblem(reason)).toBe(id));

it.each<[string, FindingId | undefined]>([
  ['outbox file cannot be written: EROFS: read-only file system', 'state-read-only'],
  ['outbox file cannot be written: ENOSPC: no space left on device', 'state-full'],
  ['outbox file cannot be written: database or disk is full', 'state-full'],
  ['outbox file cannot be written: ENOTDIR: not a directory', 'state-unusable'],
  ['not connected to NATS', undefined],
])('a state folder with %j', (reason, id) => expect(stateProblem(reason)).toBe(id));

it.each<[string, FindingId]>([
  ["'Authorization Violation'", 'nats-login'],
  ['JetStream is not enabled for this account on the NATS server', 'nats-no-jetstream'],
  [
    'acknowledgements cannot be received: Permissions Violation for Subscription',
    'nats-permission',
  ],
  ['stream STOWAGE_EVENTS does not exist, and this login may not create it', 'stream-missing'],
  ['stream STOWAGE_EVENTS holds ["x"], which leaves out stowage.event.n.>', 'stream-unfit'],
  ['CONNECTION_REFUSED', 'nats-away'],
])('NATS with %j', (reason, id) => expect(natsProblem(reason)).toBe(id));

describe('the stream', () => {
  const fit = { ...streamConfig({}), no_ack: false, sealed: false } as StreamConfig;
  const ids = (config: Partial<StreamConfig>) =>
    settingsFindings({ ...fit, ...config }, { isFull: false }).map(({ id }) => id);

  it.each<[string, Partial<StreamConfig>, FindingId[]]>([
    ['as services make it', {}, []],
    ['with other subjects', { subjects: ['stowage.event.a.>'] }, ['stream-unfit']],
    ['without acknowledgements', { no_ack: true }, ['stream-unfit']],
    ['sealed', { sealed: true }, ['stream-unfit']],
    ['with other limits', { max_age: 1e9 }, ['stream-settings']],
  ])('%s', (_what, config, expected) => expect(ids(config)).toEqual(expected));
});

it.each([
  [1000, 1010, 1005, []],
  [1000, 1010, 3009, []],
  [1000, 1010, 5010, ['the clock here is 4s behind that of NATS']],
  [9000, 9010, 5000, ['the clock here is 4s ahead of that of NATS']],
  [1000, 1010, Number.NaN, []],
])('asked between %d and %d, the server says %d', (before, after, server, expected) => {
  expect(clockFindings(server, { before, after }).map(({ problem }) => problem)).toEqual(expected);
});

it('a disk that images cannot bring down is called that', () => {
  const { reply } = gcWorker.status.example;
  const [disk] = reply.disks;
  const breakdown = { ...disk!.breakdown!, imagesSuffice: false };
  const full = { ...reply, disks: [{ ...disk!, breakdown }] } as GcStatus;
  const ids = gcFindings(full, 'n').map(({ id }) => id);
  expect(ids).toEqual(['disk-full-of-other-data', 'disk-over-mark', 'exempt-unmatched']);
});

describe("kubelet's configuration", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'stowctl-kubelet-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const reply = gcWorker.status.example.reply as unknown as GcStatus;
  const problems = (more: Partial<GcStatus> = {}) => {
    const gc = { reply: { ...reply, collects: true, ...more } };
    return kubeletFindings(folder, { node: 'n', gc } as NodeStatus).map(({ problem }) => problem);
  };
  const ours = reply.policy.highThresholdPercent;

  it.each<[string, string, string[]]>([
    ['the same threshold', `imageGCHighThresholdPercent: ${ours}`, [`${ours}`]],
    ['a lower one', 'imageGCHighThresholdPercent: 60', ['60']],
    ['a higher one', `imageGCHighThresholdPercent: ${ours + 1}`, []],
    ['collections off', 'imageGCHighThresholdPercent: 100', []],
    ['its default', 'maxPods: 110', ['85']],
    ['nothing in it', '', ['85']],
    ['what is no YAML', '{', []],
  ])('with %s', (_what, text, from) => {
    writeFileSync(path.join(folder, 'config.yaml'), text);
    expect(problems()).toEqual(
      from.map((high) => `kubelet collects from ${high} %, gc-worker from ${ours} %`),
    );
  });

  it('is looked at where it can be read, and gc-worker collects', () => {
    expect(problems()).toEqual([]);
    writeFileSync(path.join(folder, 'config.yaml'), 'imageGCHighThresholdPercent: 60');
    expect(problems({ collects: false })).toEqual([]);
  });
});

it('services of one version are no finding', () => {
  const services = [
    { app: 'a', version: '1' },
    { app: 'b', version: '1' },
  ];
  expect(versionFindings(services)).toEqual([]);
  expect(versionFindings([...services, { app: 'c', version: '2' }])).toEqual([
    expect.objectContaining({ id: 'versions-differ', problem: 'a 1, b 1, c 2' }),
  ]);
});

it('the worst comes first, and nothing twice', () => {
  const [warning, critical] = [
    finding('nats-away', 'NATS', 'x'),
    finding('nats-login', 'NATS', 'y'),
  ];
  expect(inOrder([warning, critical, warning])).toEqual([critical, warning]);
});
