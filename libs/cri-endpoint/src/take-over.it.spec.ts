import net from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { createCheckedEndpoint } from './checked-endpoint';
import { createPipedEndpoint } from './piped-endpoint';
import { createTerminatingEndpoint } from './terminating-endpoint';
import {
  methodPath,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
} from './testing/grpc-peers';
import type { Endpoint, ListenOptions } from './types';

const open = {
  piped: (listen: ListenOptions, upstreamPath: string): Promise<Endpoint> =>
    createPipedEndpoint({
      ...listen,
      upstreamPath,
      observer: { observes: () => true, ended: () => undefined },
      unavailableReason: () => undefined,
    }),
  terminating: (listen: ListenOptions, upstreamPath: string): Promise<Endpoint> =>
    createTerminatingEndpoint({
      ...listen,
      upstream: { address: () => upstreamPath },
      handlers: {},
      unavailableReason: () => undefined,
    }),
  checked: (listen: ListenOptions, upstreamPath: string): Promise<Endpoint> =>
    createCheckedEndpoint({
      ...listen,
      upstream: { address: () => upstreamPath },
      handlers: {},
    }),
};

describe.each(['piped', 'terminating', 'checked'] as const)(
  'a %s endpoint that is replaced',
  (kind) => {
    it('opens while clients come and go', async () => {
      const folder = temporaryFolder();
      const server = await startTestServer(folder.file('rt.sock'));
      const socketPath = folder.file('gw.sock');
      const endpoints = [await open[kind]({ socketPath }, server.socketPath)];
      let over = false;
      const visit = () =>
        new Promise<void>((resolve) => {
          const visitor = net.connect(socketPath, () => visitor.destroy());
          visitor.on('error', () => undefined);
          visitor.once('close', () => resolve());
        });
      const visitors = Array.from({ length: 2 }, async () => {
        while (!over) {
          await visit();
          await setImmediate();
        }
      });
      for (let round = 0; round < 20; round++) {
        endpoints.push(await open[kind]({ socketPath, takeOver: true }, server.socketPath));
      }
      over = true;
      await Promise.all(visitors);
      const client = new TestClient(socketPath);
      expect(await client.unary(methodPath('Echo'), 'x')).toMatchObject({ code: 0 });
      client.close();
      await Promise.all(endpoints.map((endpoint) => endpoint.close()));
      server.kill();
      folder.remove();
    }, 20_000);

    it('loses no call of clients that call all the time, and none that takes long', async () => {
      const folder = temporaryFolder();
      const server = await startTestServer(folder.file('rt.sock'));
      const socketPath = folder.file('gw.sock');
      const closed: Promise<void>[] = [];
      const endpoints: Endpoint[] = [];
      const instance = async (takeOver: boolean): Promise<void> => {
        const endpoint = await open[kind](
          {
            socketPath,
            takeOver,
            onReplaced: () => closed.push(endpoint.close({ drainMs: 10_000 })),
          },
          server.socketPath,
        );
        endpoints.push(endpoint);
      };
      await instance(false);
      const clients = Array.from({ length: 4 }, () => new TestClient(socketPath));
      const failures: string[] = [];
      let calls = 0;
      let over = false;
      const callers = clients.map(async (client) => {
        while (!over) {
          const { code, details } = await client.unary(methodPath('Echo'), 'x');
          if (code !== 0) failures.push(`${code} ${details}`);
          calls++;
        }
      });
      const chat = clients[0]?.bidi(methodPath('Chat'));
      const echoed: string[] = [];
      chat?.on('data', (message: Buffer) => echoed.push(String(message)));
      chat?.on('error', (error: Error) => failures.push(error.message));
      chat?.write(Buffer.from('before'));
      await until('the stream', () => echoed.length === 1);
      for (let round = 1; round <= 3; round++) {
        const before = calls;
        await instance(true);
        await until('the old one is notified', () => closed.length === round);
        await until(
          'calls on the new one',
          () => (endpoints[round]?.stats().acceptedConnections ?? 0) > 0,
        );
        await until('more calls', () => calls > before + 50);
      }
      chat?.write(Buffer.from('after'));
      await until('the stream goes on', () => echoed.length === 2);
      chat?.end();
      over = true;
      await Promise.all(callers);
      await Promise.all(closed);
      expect(failures).toEqual([]);
      expect(endpoints.slice(0, 3).map((one) => one.stats().openConnections)).toEqual([0, 0, 0]);
      for (const client of clients) client.close();
      await endpoints[3]?.close();
      server.kill();
      folder.remove();
    });
  },
);
