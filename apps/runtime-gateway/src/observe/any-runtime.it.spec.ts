import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { startStack, type Stack } from '@stowage/testing';
import { GatewayProcess } from '../testing/gateway-process';

const asBytes = (bytes: Buffer): Buffer => bytes;
const method = (name: string, responseStream = false): grpc.MethodDefinition<Buffer, Buffer> => ({
  path: name,
  requestStream: false,
  responseStream,
  requestSerialize: asBytes,
  requestDeserialize: asBytes,
  responseSerialize: asBytes,
  responseDeserialize: asBytes,
});
const paths = {
  version: '/runtime.v1.RuntimeService/Version',
  list: '/runtime.v1.RuntimeService/ListContainers',
  future: '/runtime.v1.RuntimeService/FreezePodSandbox',
  futureStream: '/runtime.v1.RuntimeService/StreamFrozenPods',
  futureService: '/runtime.v2.SnapshotService/Take',
};
const large = Buffer.alloc(20 * 1024 * 1024, 'a large reply ');
const noLimit = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.use_local_subchannel_pool': 1,
};
/** A VersionResponse with every field set. */
const versionResponse = Buffer.from('\x0a\x050.1.0\x12\x04fake\x1a\x011\x22\x02v1', 'latin1');

type Unary = (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => void;

describe('runtime-gateway over a runtime that knows more than the gateway', () => {
  let stack: Stack;
  let server: grpc.Server;
  let gateways: readonly GatewayProcess[];
  const cancelled: string[] = [];

  beforeAll(async () => {
    stack = await startStack({ containerd: false, registries: false });
    const echo: Unary = ({ request, metadata }, done) => {
      const trailers = new grpc.Metadata();
      trailers.set('x-seen', metadata.get('x-asked')[0] ?? 'nothing');
      done(null, Buffer.concat([Buffer.from('echo '), request]), trailers);
    };
    server = new grpc.Server(noLimit);
    server.addService(
      {
        version: method(paths.version),
        list: method(paths.list),
        future: method(paths.future),
        futureStream: method(paths.futureStream, true),
        futureService: method(paths.futureService),
      },
      {
        version: ((_call, done) => done(null, versionResponse)) satisfies Unary,
        list: ((_call, done) => done(null, large)) satisfies Unary,
        future: echo,
        futureService: echo,
        futureStream: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
          call.on('cancelled', () => cancelled.push(call.getPath()));
          for (const part of ['one', 'two', 'three']) call.write(Buffer.from(part));
          if (String(call.request) === 'end') call.end();
        },
      },
    );
    const socket = path.join(stack.dir, 'rt.sock');
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) =>
        error == null ? resolve() : reject(error),
      ),
    );
    gateways = ['piped', 'terminating'].map(
      (node) => new GatewayProcess(stack, { node, runtimeEndpoint: `unix://${socket}` }),
    );
    await gateways[0]?.start({ ready: 'healthz' });
    await gateways[1]?.start({ ready: 'healthz', env: { STOWAGE_IMAGE_ROUTING: 'true' } });
  });

  afterAll(async () => {
    for (const gateway of gateways) await gateway.end();
    server.forceShutdown();
    await stack.down();
  });

  const unary = (socket: string, name: string, text = '') =>
    new Promise<{ code: number; message?: Buffer; trailer?: grpc.MetadataValue }>((resolve) => {
      const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), noLimit);
      const metadata = new grpc.Metadata();
      metadata.set('x-asked', text);
      let message: Buffer | undefined;
      client
        .makeUnaryRequest(name, asBytes, asBytes, Buffer.from(text), metadata, (_error, reply) => {
          message = reply;
        })
        .on('status', ({ code, metadata: trailers }) => {
          // The reply's callback comes after this event.
          setImmediate(() => {
            client.close();
            resolve({ code, message, trailer: trailers.get('x-seen')[0] });
          });
        });
    });
  const stream = async (socket: string, text: string, stopAfter = Infinity) => {
    const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), noLimit);
    const call = client.makeServerStreamRequest(
      paths.futureStream,
      asBytes,
      asBytes,
      Buffer.from(text),
    );
    const parts: string[] = [];
    call.on('error', () => undefined);
    call.on('data', (part: Buffer) => {
      parts.push(String(part));
      if (parts.length === stopAfter) call.cancel();
    });
    const code = await new Promise<number>((resolve) =>
      call.on('status', (status: grpc.StatusObject) => resolve(status.code)),
    );
    client.close();
    return { code, parts };
  };

  describe.each([
    ['piped', 0],
    ['terminating', 1],
  ] as const)('on a %s socket', (_mode, index) => {
    const socketOf = () => gateways[index]?.socket ?? '';

    it('forwards methods and services that no proto here knows, with metadata both ways', async () => {
      for (const name of [paths.future, paths.futureService]) {
        const { code, message, trailer } = await unary(socketOf(), name, 'hello');
        expect({ code, message: String(message), trailer }).toEqual({
          code: 0,
          message: 'echo hello',
          trailer: 'hello',
        });
      }
    });

    it('forwards streams that no proto here knows, to their end or until they are cancelled', async () => {
      expect(await stream(socketOf(), 'end')).toEqual({ code: 0, parts: ['one', 'two', 'three'] });
      cancelled.length = 0;
      expect(await stream(socketOf(), 'go on', 3)).toMatchObject({ code: 1 });
      while (cancelled.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      expect(cancelled).toEqual([paths.futureStream]);
    });

    it('forwards a reply of 20 MiB', async () => {
      const { code, message } = await unary(socketOf(), paths.list);
      expect(code).toBe(0);
      expect(message?.equals(large)).toBe(true);
    });
  });

  it('forwards a reply of 20 MiB on the read-only socket, and refuses there what it does not know', async () => {
    const socket = gateways[0]?.readonlySocket ?? '';
    expect((await unary(socket, paths.list)).message?.equals(large)).toBe(true);
    expect(await unary(socket, paths.future)).toMatchObject({ code: 7 });
    expect(await stream(socket, 'end')).toEqual({ code: 7, parts: [] });
  });
});
