import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pause } from '@stowage/async';
import { eventually } from '@stowage/testing';
import { GatewaySockets, type SocketsConfig } from './gateway-sockets';

const rounds = 8;
const instances = 5;

describe('instances that take over', () => {
  let folder: string;
  let open: GatewaySockets[];
  const listen = () => path.join(folder, 'r.sock');
  const listenReadonly = () => path.join(folder, 'ro.sock');

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'gw-'));
    open = [];
  });

  afterEach(async () => {
    await Promise.all(open.map((sockets) => sockets.close({ drainMs: 0 })));
    rmSync(folder, { recursive: true });
  });

  /** One that closes when it is replaced, as a process does. */
  function instance(config: Partial<SocketsConfig> = {}): GatewaySockets {
    const made: GatewaySockets = new GatewaySockets({
      config: {
        listen: listen(),
        listenMode: 0o600,
        listenGroup: '',
        listenReadonly: listenReadonly(),
        listenReadonlyMode: 0o600,
        listenReadonlyGroup: '',
        readonlyVerbose: false,
        readonlyEvents: 'auto',
        takeOver: true,
        runtimeEndpoint: `unix://${path.join(folder, 'absent.sock')}`,
        imageEndpoint: `unix://${path.join(folder, 'absent.sock')}`,
        imageRouting: false,
        imageServiceEndpoint: '',
        ...config,
      },
      log: { info: () => undefined, warn: () => undefined },
      runtime: {
        endpoint: 'unix:///absent.sock',
        availability: () => ({ available: false, since: new Date(), connections: 0 }),
        version: () => Promise.reject(new Error('absent')),
      },
      criVersions: { path: (asked) => asked, servesBoth: true, changedPrefix: undefined },
      calls: {},
      onReplaced: () => {
        open.splice(open.indexOf(made), 1);
        void made.close({ drainMs: 0 });
      },
      onGivenUp: () => undefined,
    });
    open.push(made);
    return made;
  }

  const connected = (socket: string) =>
    new Promise<boolean>((resolve) => {
      const client = net.connect(socket);
      client.once('connect', () => {
        client.destroy();
        resolve(true);
      });
      client.once('error', () => resolve(false));
    });

  it('at the same moment leave both sockets to the same one of them', async () => {
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: instances }, () => instance().open()));
      await eventually(() => open.length === 1, { what: 'all but one to be replaced' });
      // Those that were replaced have removed what was theirs.
      await pause(100);
      expect([await connected(listen()), await connected(listenReadonly())]).toEqual([true, true]);
      const [left] = open;
      const accepted = () =>
        (['main', 'readonly'] as const).map((socket) => left?.stats(socket)?.acceptedConnections);
      await eventually(() => accepted().every((count) => count === 1), {
        what: 'the connections of that one',
      });
    }
  });

  it('and cannot have the main socket leave the read-only one alone', async () => {
    const before = instance();
    await before.open();
    const next = instance({ listenGroup: 'no-such-group' });
    await expect(next.open()).rejects.toThrow('no group named no-such-group');
    expect(await connected(listenReadonly())).toBe(true);
    await eventually(() => before.stats('readonly')?.acceptedConnections === 1, {
      what: 'the connection of the one before',
    });
    expect(readdirSync(folder).sort()).toEqual(['r.sock', 'r.sock.lock', 'ro.sock']);
  });
});
