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
describe('clients that stop at nothing, on each socket that terminates HTTP/2', () => {
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

  it.each(
    ['the read-only socket', 'image.sock', 'the main socket with imageRouting'].flatMap((socket) =>
      Object.keys(attacks).map((attack) => [socket, attack]),
    ),
  )('%s: one that %s stops nobody else', async (name, attack) => {
    const socket = sockets[name];
    if (socket === undefined) throw new Error(name);
    await serves(socket.path);
    const before = descriptors(socket.pid);
    for (let round = 0; round < 3; round++) {
      const clients = (await attacks[attack]?.(socket.path)) ?? [];
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
