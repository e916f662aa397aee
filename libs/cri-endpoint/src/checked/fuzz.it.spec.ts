import http2 from 'node:http2';
import { PermissionDeniedError } from '@stowage/errors';
import { createCheckedEndpoint } from '../checked-endpoint';
import { sendRandomFrames, tapRuntime } from '../testing/fuzz-connections';
import { temporaryFolder, TestClient, until } from '../testing/grpc-peers';
import { listen, type StreamEvent } from '../testing/http2-peers';
import { FrameClient } from '../testing/frame-client';
import { dataFrame, headerFrames } from '../testing/build-frames';
import type { Endpoint } from '../types';

const paths = {
  pass: '/fuzz.Service/Pass',
  check: '/fuzz.Service/Check',
  refuse: '/fuzz.Service/Refuse',
  local: '/runtime.v1.RuntimeService/Local',
};

describe('a checked endpoint between clients that send anything and a node:http2 server', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let endpoint: Endpoint;
  let stop: () => void;
  let tap: Awaited<ReturnType<typeof tapRuntime>>;
  /** What the runtime was asked for. */
  let asked: Map<string, number>;
  let bodies: string[];

  beforeEach(async () => {
    folder = temporaryFolder();
    asked = new Map();
    bodies = [];
    const runtime = http2.createServer();
    runtime.on('sessionError', () => undefined);
    runtime.on('stream', (...args: unknown[]) => {
      const [stream, headers] = args as StreamEvent;
      const path = headers[':path'] ?? '';
      asked.set(path, (asked.get(path) ?? 0) + 1);
      let body = '';
      stream.on('error', () => undefined);
      stream.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
      stream.on('end', () => {
        if (path === paths.check) bodies.push(body);
        if (stream.destroyed) return;
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end('\0\0\0\0\x01a');
      });
    });
    stop = await listen(runtime, folder.file('http2.sock'));
    tap = await tapRuntime(folder.file('rt.sock'), folder.file('http2.sock'));
    endpoint = await createCheckedEndpoint({
      socketPath: folder.file('gw.sock'),
      upstream: { address: () => folder.file('rt.sock') },
      handlers: { [paths.local]: (request) => Promise.resolve(request) },
      admit: (path) => {
        if (path === paths.pass) return undefined;
        if (path !== paths.check) throw new PermissionDeniedError(path, 'no');
        return (request) => Buffer.from(`checked ${request.length}`);
      },
      maxRequestBytes: 64 * 1024,
    });
  });

  afterEach(async () => {
    await endpoint.close();
    tap.close();
    stop();
    folder.remove();
  });

  it('sends the runtime nothing that was not let through, and nothing that breaks HTTP/2', async () => {
    const report = await sendRandomFrames({
      socketPath: endpoint.socketPath,
      paths: Object.values(paths),
      frames: 100_000,
      seed: 1,
    });
    expect(Object.keys(report.goAways)).not.toHaveLength(0);
    await until('all have left', () => endpoint.stats().openConnections === 0);
    expect([...asked.keys()].sort()).toEqual([paths.check, paths.pass]);
    expect(asked.get(paths.check)).toBeGreaterThan(1_000);
    expect(bodies.filter((body) => !/^\0\0\0\0.checked \d+$/s.test(body))).toEqual([]);
    expect(tap.goAways.filter((code) => code !== 0)).toEqual([]);
    expect(endpoint.stats()).toMatchObject({ callsInFlight: 0, upstreamsGivenUp: 0 });
    const client = new TestClient(endpoint.socketPath);
    expect(await client.unary(paths.check, 'x')).toMatchObject({ code: 0 });
    client.close();
  });

  it('takes the frames of a connection cut at every byte', async () => {
    const made = (client: FrameClient): Buffer => {
      const streamId = client.nextStreamId();
      const block = client.block(paths.check);
      const last = client.nextStreamId();
      return Buffer.concat([
        FrameClient.start,
        headerFrames(streamId, block, { cuts: [3, 20], padding: 4, priority: true }),
        dataFrame(streamId, Buffer.from([0, 0, 0]), { padding: 2 }),
        dataFrame(streamId, Buffer.from([0, 2, 7, 7]), { endStream: true }),
        headerFrames(last, client.block(paths.pass)),
        dataFrame(last, Buffer.from([0, 0, 0, 0, 0]), { endStream: true }),
      ]);
    };
    const idle = new FrameClient(folder.file('none.sock'));
    const { length } = made(idle);
    idle.leave();
    for (let cut = 1; cut < length; cut += 8) {
      // Some at a time, each cut at another byte.
      const clients = Array.from({ length: Math.min(8, length - cut) }, (_, i) => {
        const client = new FrameClient(endpoint.socketPath);
        const bytes = made(client);
        client.socket.write(bytes.subarray(0, cut + i));
        setTimeout(() => client.socket.write(bytes.subarray(cut + i)), 1);
        return client;
      });
      await until('the answers', () =>
        clients.every((client) => client.isAnswered(1) && client.isAnswered(3)),
      );
      for (const client of clients) client.leave();
    }
    expect(asked.get(paths.check)).toBe(length - 1);
    expect(new Set(bodies)).toEqual(new Set(['\0\0\0\0\x09checked 2']));
    expect(tap.goAways).toEqual([]);
  });
});
