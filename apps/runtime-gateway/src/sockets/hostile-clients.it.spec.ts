import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ListImagesRequest, ListImagesResponse } from '@stowage/cri-proto';
import { eventually, spawnApp, startStack, type AppProcess, type Stack } from '@stowage/testing';
import { FrameClient } from '../testing/frame-client';
import { absentNats, GatewayProcess } from '../testing/gateway-process';
import { callPath } from '../testing/plain-client';

const listImages = '/runtime.v1.ImageService/ListImages';
const pullImage = '/runtime.v1.ImageService/PullImage';
const mebibyte = 1024 * 1024;

// On containerd: the gRPC server of a fake does not stop reading when its answers wait.
describe('clients that stop at nothing, on each socket that is not a plain pipe', () => {
  let stack: Stack;
  let gateway: GatewayProcess;
  let imageService: AppProcess;
  const sockets: Record<string, { readonly path: string; readonly pid: number }> = {};

  beforeAll(async () => {
    stack = await startStack({ nats: false });
    const imageSocket = path.join(stack.dir, 'image.sock');
    imageService = await spawnApp('image-service', {
      env: {
        STOWAGE_NODE_NAME: 'node-1',
        STOWAGE_LISTEN: imageSocket,
        STOWAGE_STATE_DIR: path.join(stack.dir, 'image-state'),
        STOWAGE_RUNTIME_ENDPOINT: stack.runtime.endpoint,
        STOWAGE_NATS_SERVERS: 'nats://127.0.0.1:1',
      },
    });
    gateway = new GatewayProcess(stack, { node: 'node-1', natsUrl: absentNats });
    await gateway.start({
      env: {
        STOWAGE_IMAGE_ROUTING: 'true',
        STOWAGE_IMAGE_SERVICE_ENDPOINT: `unix://${imageSocket}`,
      },
    });
    sockets['the read-only socket'] = { path: gateway.readonlySocket, pid: gateway.app.pid };
    sockets['image.sock'] = { path: imageSocket, pid: imageService.pid };
    sockets['the main socket with imageRouting'] = { path: gateway.socket, pid: gateway.app.pid };
  });

  afterAll(async () => {
    await gateway.end();
    await imageService.stop();
    await stack.down();
  });

  /** Another client gets its answer, and soon. */
  const serves = async (socketPath: string): Promise<void> => {
    const began = performance.now();
    const none = { filter: undefined };
    await callPath(socketPath, listImages, ListImagesRequest, ListImagesResponse, none);
    expect(performance.now() - began).toBeLessThan(20_000);
  };
  const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
  const residentBytes = (pid: number): number =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

  const attacks: Record<string, (socketPath: string) => Promise<FrameClient[]>> = {
    'cancels calls with a body by the thousand': async (socketPath) => {
      const client = new FrameClient(socketPath);
      for (let round = 0; round < 30; round++) {
        const calls = Array.from({ length: 200 }, () =>
          Buffer.concat([client.begin(listImages), client.data(), client.reset()]),
        );
        client.write(...calls);
        await new Promise(setImmediate);
      }
      return Promise.resolve([client]);
    },
    'makes 600 calls, reads no answer and is killed': (socketPath) => {
      const client = new FrameClient(socketPath);
      client.stopReading();
      client.write(
        ...Array.from({ length: 600 }, () =>
          Buffer.concat([client.begin(listImages), client.data()]),
        ),
      );
      return Promise.resolve([client]);
    },
    'breaks HTTP/2 after a good call, on 40 connections': (socketPath) =>
      Promise.resolve(
        Array.from({ length: 40 }, () => {
          const client = new FrameClient(socketPath);
          client.write(client.begin(listImages), client.data(), client.shortPing());
          return client;
        }),
      ),
    'begins 5 000 calls that have no body': (socketPath) => {
      const client = new FrameClient(socketPath);
      client.write(...Array.from({ length: 5_000 }, () => client.begin(pullImage)));
      return Promise.resolve([client]);
    },
    'sends half of 300 requests of 1 MiB': (socketPath) => {
      const client = new FrameClient(socketPath);
      const part = Buffer.alloc(16_000);
      part.writeUInt32BE(mebibyte - 1, 1);
      client.write(
        ...Array.from({ length: 300 }, () =>
          Buffer.concat([client.begin(listImages), client.data(part), client.data(part)]),
        ),
      );
      return Promise.resolve([client]);
    },
  };

  const flood = (bytes: Buffer, count: number): Buffer =>
    Buffer.concat(Array.from({ length: count }, () => bytes));
  /** What the sockets that give verdicts bound themselves; `node:http2` has limits of its own. */
  const floods: typeof attacks = {
    'begins and cancels 20 000 calls': async (socketPath) => {
      const client = new FrameClient(socketPath);
      for (let round = 0; round < 100; round++) {
        const calls = Array.from({ length: 200 }, () =>
          Buffer.concat([client.begin(listImages), client.reset()]),
        );
        client.write(...calls);
        await new Promise(setImmediate);
      }
      return [client];
    },
    'sends CONTINUATION without an end': (socketPath) => {
      const client = new FrameClient(socketPath);
      const begun = client.begin(listImages);
      client.write(
        client.raw(1, 0, begun.subarray(9)),
        flood(client.raw(9, 0, Buffer.alloc(16_000)), 1_000),
      );
      return Promise.resolve([client]);
    },
    'sends 100 000 PINGs and as many SETTINGS, and reads nothing': (socketPath) => {
      const clients = [new FrameClient(socketPath), new FrameClient(socketPath)];
      const [pings, settings] = clients;
      for (const client of clients) client.stopReading();
      pings?.write(flood(pings.raw(6, 0, Buffer.alloc(8), false), 100_000));
      const window = Buffer.from([0, 4, 0, 1, 0, 0]);
      settings?.write(flood(settings.raw(4, 0, window, false), 100_000));
      return Promise.resolve(clients);
    },
    'sends 100 header bombs of 48 MB': (socketPath) => {
      const client = new FrameClient(socketPath);
      client.write(...Array.from({ length: 100 }, () => client.bomb(listImages, 12_000)));
      return Promise.resolve([client]);
    },
    'gives no window to 500 calls': (socketPath) => {
      const client = new FrameClient(socketPath);
      client.write(client.raw(4, 0, Buffer.from([0, 4, 0, 0, 0, 0]), false));
      client.write(
        ...Array.from({ length: 500 }, () =>
          Buffer.concat([client.begin(listImages), client.data()]),
        ),
      );
      return Promise.resolve([client]);
    },
    'opens 1 000 connections and does nothing with them': async (socketPath) => {
      const clients: FrameClient[] = [];
      for (let round = 0; round < 20; round++) {
        clients.push(...Array.from({ length: 50 }, () => new FrameClient(socketPath)));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return clients;
    },
  };
  const everywhere = ['the read-only socket', 'image.sock', 'the main socket with imageRouting'];

  it.each([
    ...everywhere.flatMap((socket) => Object.keys(attacks).map((attack) => [socket, attack])),
    ...everywhere
      .slice(0, 2)
      .flatMap((socket) => Object.keys(floods).map((attack) => [socket, attack])),
  ])('%s: one that %s stops nobody else', async (name, attack) => {
    const socket = sockets[name];
    if (socket === undefined) throw new Error(name);
    await serves(socket.path);
    const before = descriptors(socket.pid);
    for (let round = 0; round < 3; round++) {
      const clients = (await { ...attacks, ...floods }[attack]?.(socket.path)) ?? [];
      await serves(socket.path);
      for (const client of clients) client.leave();
      await serves(socket.path);
    }
    expect(residentBytes(socket.pid)).toBeLessThan(350 * mebibyte);
    await eventually(() => descriptors(socket.pid) <= before + 2, {
      what: 'the descriptors are back',
    });
    const { status } = await gateway.app.readiness();
    expect(status).toBe(200);
  });
});
