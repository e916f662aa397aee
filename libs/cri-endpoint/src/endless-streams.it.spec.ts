import { createCheckedEndpoint } from './checked-endpoint';
import { createPipedEndpoint } from './piped-endpoint';
import { createTerminatingEndpoint } from './terminating-endpoint';
import {
  methodPath,
  openChat,
  startTestServer,
  temporaryFolder,
  TestClient,
  until,
  type TestServer,
} from './testing/grpc-peers';
import type { CallSummary, Endpoint } from './types';

const open = {
  piped: (socketPath: string, upstreamPath: string, ended: (call: CallSummary) => void) =>
    createPipedEndpoint({
      socketPath,
      upstreamPath,
      observer: { observes: () => true, ended: () => undefined },
      calls: { ended },
      unavailableReason: () => undefined,
      service: 'runtime-gateway',
    }),
  'piped, paths rewritten': (
    socketPath: string,
    upstreamPath: string,
    ended: (call: CallSummary) => void,
  ) =>
    createPipedEndpoint({
      socketPath,
      upstreamPath,
      observer: { observes: () => true, ended: () => undefined },
      calls: { ended },
      // As over a runtime of another package.
      rewritePaths: () => ({
        path: (path) => path.replace('/runtime.v1alpha2.', '/runtime.v1.'),
      }),
      unavailableReason: () => undefined,
      service: 'runtime-gateway',
    }),
  terminating: (socketPath: string, upstreamPath: string, ended: (call: CallSummary) => void) =>
    createTerminatingEndpoint({
      socketPath,
      upstream: { address: () => upstreamPath },
      handlers: {},
      calls: { ended },
      unavailableReason: () => undefined,
      service: 'runtime-gateway',
    }),
  checked: (socketPath: string, upstreamPath: string, ended: (call: CallSummary) => void) =>
    createCheckedEndpoint({
      socketPath,
      upstream: { address: () => upstreamPath },
      handlers: {},
      calls: { ended },
      service: 'runtime-gateway',
    }),
};

const over = { code: 14, details: 'runtime-gateway is shutting down' };

describe.each(['piped', 'piped, paths rewritten', 'terminating', 'checked'] as const)(
  'event streams of clients when a %s endpoint closes',
  (kind) => {
    let folder: ReturnType<typeof temporaryFolder>;
    let server: TestServer;
    let endpoint: Endpoint;
    let client: TestClient;
    let summaries: CallSummary[];

    beforeEach(async () => {
      folder = temporaryFolder();
      summaries = [];
      server = await startTestServer(folder.file('rt.sock'));
      endpoint = await open[kind](folder.file('gw.sock'), server.socketPath, (call) =>
        summaries.push(call),
      );
      client = new TestClient(folder.file('gw.sock'));
    });

    afterEach(async () => {
      client.close();
      await endpoint.close();
      server.kill();
      folder.remove();
    });

    it('end at once with UNAVAILABLE, with and without events before, and the runtime notices', async () => {
      const streams = ['0', '3'].map((count) => client.serverStream(methodPath('Events'), count));
      await until('both are open', () => server.seen.length === 2);
      const began = performance.now();
      await endpoint.close({ drainMs: 60_000 });
      expect(performance.now() - began).toBeLessThan(30_000);
      expect(await Promise.all(streams)).toMatchObject([over, over]);
      await until('the runtime saw it', () => server.seen.every(({ cancelled }) => cancelled));
      expect(summaries.map(({ outcome, grpcStatus }) => [outcome, grpcStatus])).toEqual([
        ['unavailable', 14],
        ['unavailable', 14],
      ]);
    });

    it('end while other calls of the connection go on to their own end', async () => {
      // Fills the tables of header compression, which the end of a stream must leave as they are.
      for (const value of ['a', 'b', 'c']) {
        await client.unary(methodPath('Echo'), 'x', { metadata: { 'x-several': value } });
      }
      const streams = ['0', '3'].map((count) => client.serverStream(methodPath('Events'), count));
      const [chat, chatEnd] = await openChat(client);
      let hanging: { cancel(): void } | undefined;
      const failing = client.unary(methodPath('Hang'), 'x', {}, (call) => (hanging = call));
      await until('all are open', () => server.seen.length === 7);
      const closed = endpoint.close({ drainMs: 60_000 });
      expect(await Promise.all(streams)).toMatchObject([over, over]);
      const events = server.seen.filter(({ method }) => method === methodPath('Events'));
      await until('the runtime saw it', () => events.every(({ cancelled }) => cancelled));
      for (let i = 0; i < 20; i++) chat.write(Buffer.from(`still here ${i}`));
      chat.end();
      const { code, messages } = await chatEnd;
      expect(code).toBe(0);
      expect(messages).toHaveLength(21);
      // The last call has no end of its own.
      hanging?.cancel();
      expect(await failing).toMatchObject({ code: 1 });
      await closed;
    });
  },
);
