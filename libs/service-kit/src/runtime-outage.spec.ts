import type { RuntimeAvailability } from '@stowage/cri-client';
import { RuntimeOutage } from './runtime-outage';

const endpoint = 'unix:///run/containerd/containerd.sock';
const lostAt = new Date('2026-11-20T22:12:00.000Z');
const away: RuntimeAvailability = {
  available: false,
  since: lostAt,
  reason: 'connect ENOENT /run/containerd/containerd.sock',
  connections: 1,
};
const back: RuntimeAvailability = { available: true, since: new Date(), connections: 2 };

function fixture(options: { since?: number; version?: Error } = {}) {
  const events: { name: string; subject: string; data: unknown }[] = [];
  const failures: string[] = [];
  let sinceMs = options.since;
  const outage = new RuntimeOutage({
    endpoint,
    version: () =>
      options.version === undefined
        ? Promise.resolve({ name: 'containerd', version: '1.6.20' })
        : Promise.reject(options.version),
    publish: (name, event) => events.push({ name, ...event }),
    now: () => lostAt.getTime() + 8200,
    since: { get: () => sinceMs, set: (value) => (sinceMs = value) },
    onUnpublished: (error) => failures.push((error as Error).message),
  });
  return { outage, events, failures, since: () => sinceMs };
}

const unavailable = {
  name: 'RuntimeUnavailable',
  subject: endpoint,
  data: {
    endpoint,
    unavailableSince: '2026-11-20T22:12:00.000Z',
    reason: 'connect ENOENT /run/containerd/containerd.sock',
  },
};
const recovered = {
  name: 'RuntimeRecovered',
  subject: endpoint,
  data: {
    endpoint,
    unavailableSince: '2026-11-20T22:12:00.000Z',
    unavailableForMs: 8200,
    runtime: { name: 'containerd', version: '1.6.20' },
  },
};

it.each([
  { sentence: 'an outage and its end', changes: [away, back], published: [unavailable, recovered] },
  {
    sentence: 'one outage, however often its reason changes',
    changes: [away, { ...away, reason: 'connect ECONNREFUSED' }, back],
    published: [unavailable, recovered],
  },
  { sentence: 'nothing of a connection that was replaced at once', changes: [back], published: [] },
  {
    sentence: 'the end of an outage that an earlier run published',
    since: lostAt.getTime(),
    changes: [back],
    published: [recovered],
  },
  {
    sentence: 'an outage that lasts over a restart once',
    since: lostAt.getTime(),
    changes: [away],
    published: [],
  },
])('publishes $sentence', async ({ changes, published, since }) => {
  const { outage, events } = fixture({ since });
  for (const change of changes) outage.changed(change);
  await outage.settled();
  expect(events).toEqual(published);
});

it('publishes the end without a version when the runtime does not give one', async () => {
  const { outage, events } = fixture({ version: new Error('away again') });
  outage.changed(away);
  outage.changed(back);
  await outage.settled();
  expect(events[1]?.data).toHaveProperty('runtime', undefined);
});
