import { cpSync, existsSync, mkdtempSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import {
  eventually,
  spawnApp,
  startStack,
  subscribeEvents,
  type EventCollection,
  type Stack,
} from '@stowage/testing';

/**
 * Services that are started on the state folder of an earlier release. What each file holds is in
 * the README there, and specs of the owners of the files compare all of it.
 */
const data = path.join(__dirname, '../libs/sqlite/testdata');
const releases = readdirSync(data).filter((name) => existsSync(path.join(data, name, 'outbox.db')));
const apps = ['runtime-gateway', 'image-service', 'gc-worker'] as const;

let stack: Stack;
let events: EventCollection;

beforeEach(async () => {
  stack = await startStack({ registries: false });
  events = await subscribeEvents(stack.nats.url);
});

afterEach(async () => {
  await events.close();
  await stack.down();
});

it.each(releases.flatMap((release) => apps.map((app) => [release, app] as const)))(
  'the state of %s under %s: events that waited are published, and what is new follows them',
  async (release, app) => {
    const dir = mkdtempSync(path.join(stack.dir, 'state-'));
    cpSync(path.join(data, release), dir, { recursive: true });
    const before = statSync(path.join(dir, 'outbox.db')).ino;
    const service = await spawnApp(app, {
      env: {
        STOWAGE_NODE_NAME: 'node-1.example',
        STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
        STOWAGE_NATS_SERVERS: stack.nats.url,
        STOWAGE_STATE_DIR: dir,
        STOWAGE_COMMAND_SOCKET: '',
        ...(app === 'gc-worker' ? {} : { STOWAGE_LISTEN: path.join(dir, 'cri.sock') }),
        ...(app === 'runtime-gateway' ? { STOWAGE_LISTEN_READONLY: '' } : {}),
      },
    });
    try {
      const waited = [
        [3, 'sha256:c'],
        [4, 'sha256:d'],
        [5, 'sha256:e'],
        [6, 'sha256:f'],
      ];
      const detected = () =>
        events.named('ImageDetected').map(({ sequence, data }) => [sequence, data.imageId]);
      await eventually(() => detected().length >= waited.length, { what: 'events that waited' });
      expect(detected().slice(0, waited.length)).toEqual(waited);
      // What the earlier release had dropped is reported by this one, in its place.
      const dropped = await events.waitFor('EventsDropped');
      expect([dropped.data.count, dropped.sequence]).toEqual([2, 2]);
      if (app === 'gc-worker') {
        // Images that the earlier release knew, and that are gone meanwhile.
        for (const id of ['sha256:app', 'sha256:old']) {
          const removed = await events.waitFor('ImageRemoved', ({ data }) => data.imageId === id);
          expect([id, removed.data.reason, removed.sequence > 6]).toEqual([id, 'vanished', true]);
        }
      }
      expect(events.invalid).toEqual([]);
    } finally {
      expect(await service.stop()).toBe(0);
    }
    expect(statSync(path.join(dir, 'outbox.db')).ino).toBe(before);
    expect(readdirSync(dir).filter((name) => name.includes('unusable'))).toEqual([]);
  },
);
