import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { EngineAvailability } from '../engine/engine-connection';
import { EngineOutage } from './engine-outage';
import { openOutageFile } from './outage-file';

const endpoint = 'unix:///var/run/docker.sock';
const lostAt = new Date('2026-11-20T22:12:00.000Z');
const connecting: EngineAvailability = {
  available: false,
  since: lostAt,
  reason: `connecting to ${endpoint}`,
  connections: 0,
};
const away: EngineAvailability = {
  available: false,
  since: lostAt,
  reason: 'connect ENOENT /var/run/docker.sock',
  connections: 1,
};
const back: EngineAvailability = { available: true, since: new Date(), connections: 2 };

const unavailable = {
  name: 'RuntimeUnavailable',
  subject: endpoint,
  data: {
    endpoint,
    unavailableSince: '2026-11-20T22:12:00.000Z',
    reason: 'connect ENOENT /var/run/docker.sock',
  },
};
const recovered = {
  name: 'RuntimeRecovered',
  subject: endpoint,
  data: {
    endpoint,
    unavailableSince: '2026-11-20T22:12:00.000Z',
    unavailableForMs: 8200,
    runtime: { name: 'docker', version: '20.10.24' },
  },
};

describe('EngineOutage', () => {
  let stateDir: string;
  beforeEach(() => (stateDir = mkdtempSync(path.join(tmpdir(), 'engine-outage-'))));
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

  /** One life of a process. */
  async function run(first: EngineAvailability, changes: readonly EngineAvailability[]) {
    const published: unknown[] = [];
    const since = openOutageFile({ stateDir, now: Date.now, log: { warn: () => undefined } });
    let listener: (availability: EngineAvailability) => void = () => undefined;
    const outage = new EngineOutage({
      connection: {
        endpoint,
        availability: () => first,
        lastKnown: () => ({
          api: '1.41',
          info: {},
          version: { engine: '20.10.24', highestApi: '1.41', lowestApi: '1.12' },
        }),
        onAvailability: (given) => {
          listener = given;
          return () => (listener = () => undefined);
        },
      },
      bus: {
        publish: (name, event) => {
          published.push({ name, ...event });
          return 'id';
        },
      },
      since,
      now: () => lostAt.getTime() + 8200,
      onUnpublished: (error) => published.push(error),
    });
    for (const change of changes) listener(change);
    const closed = outage.close();
    listener({ ...away, reason: 'shutting down' });
    await closed;
    since.close();
    return published;
  }

  it.each([
    { sentence: 'nothing when the engine is there', first: connecting, changes: [back], all: [] },
    {
      sentence: 'an outage and its end',
      first: connecting,
      changes: [back, away, back],
      all: [unavailable, recovered],
    },
    {
      sentence: 'one outage, however often its reason changes',
      first: connecting,
      changes: [away, { ...away, reason: 'connect ECONNREFUSED' }, back],
      all: [unavailable, recovered],
    },
    {
      sentence: 'an outage that was seen before anybody listened',
      first: away,
      changes: [],
      all: [unavailable],
    },
  ])('publishes $sentence', async ({ first, changes, all }) => {
    expect(await run(first, changes)).toEqual(all);
  });

  it('publishes an outage that lasts over a restart once, and its end', async () => {
    expect(await run(connecting, [away])).toEqual([unavailable]);
    expect(await run(connecting, [away])).toEqual([]);
    expect(await run(connecting, [back])).toEqual([recovered]);
    expect(await run(connecting, [back])).toEqual([]);
    // The engine was back before anybody listened.
    expect(await run(connecting, [away])).toEqual([unavailable]);
    expect(await run(back, [])).toEqual([recovered]);
  });
});
