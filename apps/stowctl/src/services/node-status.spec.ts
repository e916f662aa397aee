import { gcWorker, imageService, runtimeGateway } from '@stowage/commands';
import type { DiscoveredService } from '../transport/discovered-services';
import { nodeFindings } from '../doctor/node-findings';
import { serviceSummaries, type GcStatus, type NodeStatus } from './node-status';

/** What is said of a node over NATS, where services give no reasons. */

const away = { error: 'nobody answers', isAbsent: true };
const gc = gcWorker.status.example.reply as unknown as GcStatus;
const well: GcStatus = { ...gc, disks: [], exemptUnmatched: [], collects: true };

function status(
  discovered: readonly Partial<DiscoveredService>[],
  more: Partial<NodeStatus> = {},
): NodeStatus {
  return {
    node: 'node-1',
    gateway: away,
    version: {},
    stats: { reply: imageService.stats.example.reply },
    gc: { reply: well },
    shim: away,
    infos: {},
    discovered: discovered.map((one) => ({
      ...{ app: 'image-service', node: 'node-1', version: '1.2.3' },
      ...one,
    })),
    ...more,
  };
}

const images = (one: NodeStatus) =>
  serviceSummaries(one).find(({ app }) => app === 'image-service');
const ids = (one: NodeStatus) =>
  nodeFindings(one)
    .filter(({ id }) => id !== 'service-absent')
    .map(({ id, subject }) => `${id} ${subject}`);

it.each<[string, Partial<DiscoveredService>[], string, string | undefined]>([
  ['its health', [{ state: 'ok' }], 'ok', '1.2.3'],
  ['that it is degraded', [{ state: 'degraded' }], 'degraded', '1.2.3'],
  ['that it is down', [{ state: 'down' }], 'down', '1.2.3'],
  ['no health, as earlier releases', [{}], 'ok', '1.2.3'],
  ['a word that is not known', [{ state: 'tired' }], 'ok', '1.2.3'],
  ['nothing', [], 'ok', undefined],
  ['another service', [{ app: 'gc-worker', state: 'down' }], 'ok', undefined],
])('a service that answers and says %s', (_what, discovered, state, version) => {
  expect(images(status(discovered))).toMatchObject({ state, version });
  expect(images(status(discovered))?.version).toBe(version);
});

it('one that refuses the command has its version, one that is away has none', () => {
  const stats = { error: 'PERMISSION_DENIED', isRefused: true };
  expect(images(status([{ state: 'ok' }], { stats }))).toMatchObject({
    ...{ state: 'unknown', version: '1.2.3' },
  });
  expect(images(status([], { stats: away }))).toEqual({
    ...{ app: 'image-service', state: 'absent', detail: 'nobody answers' },
  });
});

it('doctor names a service that is not well, unless its own answer says why', () => {
  expect(ids(status([{ state: 'ok' }]))).toEqual([]);
  expect(ids(status([{ state: 'degraded' }]))).toEqual(['service-degraded image-service']);
  expect(ids(status([{ state: 'down' }]))).toEqual(['service-down image-service']);
  const worker = [{ app: 'gc-worker', state: 'degraded' }];
  expect(ids(status(worker))).toEqual(['service-degraded gc-worker']);
  const full = { ...well, exemptUnmatched: ['quay.io/**'] };
  expect(ids(status(worker, { gc: { reply: full } }))).toEqual(['exempt-unmatched quay.io/**']);
  const { reply } = runtimeGateway.status.example;
  const gateway = { reply: { ...reply, available: false, reason: 'connect ENOENT /run/x' } };
  expect(ids(status([{ app: 'runtime-gateway', state: 'down' }], { gateway }))).toEqual([
    `runtime-socket-missing ${reply.endpoint}`,
  ]);
});

it('services of different versions are found over NATS as well', () => {
  expect(ids(status([{}, { app: 'gc-worker', version: '1.3.0' }]))).toEqual([
    'versions-differ services',
  ]);
});
