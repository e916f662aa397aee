import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import {
  ContainerEventResponse,
  ContainerEventType,
  GetEventsRequest,
  ImageServiceDefinition,
  ListImagesResponse,
  PullImageRequest,
  RuntimeServiceDefinition,
  StreamContainersRequest,
  StreamContainersResponse,
  VersionRequest,
  VersionResponse,
} from '@stowage/cri-proto';
import { inVersion, methodPath } from '@stowage/cri-proto/paths';
import * as v1alpha2 from '@stowage/cri-proto/v1alpha2';
import { connectRuntimeService } from '@stowage/cri-client';
import { NotFoundError, ResourceExhaustedError } from '@stowage/errors';
import { eventuallyPasses } from '@stowage/testing';
import {
  criHandlers,
  serveCri,
  type CriCall,
  type CriStreamCall,
  type Implementation,
  type ServeCriOptions,
} from './index';

type Endpoint = Awaited<ReturnType<typeof serveCri>>;
type Runtime = Implementation<typeof RuntimeServiceDefinition>;

const version: VersionResponse = VersionResponse.fromPartial({
  version: '0.1.0',
  runtimeName: 'docker',
  runtimeVersion: '28.5.1',
  runtimeApiVersion: '1.51.0',
});
const event = (containerId: string) =>
  ContainerEventResponse.fromPartial({
    containerId,
    containerEventType: ContainerEventType.CONTAINER_STARTED_EVENT,
    createdAt: 7n,
  });

/**
 * The events of a runtime: each subscriber has a queue, and is failed when it does not take what is
 * in it.
 */
class Events {
  readonly subscribers = new Set<(event: ContainerEventResponse) => void>();

  constructor(private readonly max = 1000) {}

  publish(published: ContainerEventResponse): void {
    for (const subscriber of this.subscribers) subscriber(published);
  }

  async *subscribe(call: CriStreamCall): AsyncGenerator<ContainerEventResponse> {
    const queue: ContainerEventResponse[] = [];
    let wake: () => void = () => undefined;
    const subscriber = (published: ContainerEventResponse): void => {
      if (queue.push(published) > this.max) {
        call.fail(new ResourceExhaustedError('the event queue of this subscriber', this.max));
      }
      wake();
    };
    call.signal.addEventListener('abort', () => wake());
    this.subscribers.add(subscriber);
    try {
      while (!call.signal.aborted) {
        const next = queue.shift();
        if (next === undefined) await new Promise<void>((resolve) => (wake = resolve));
        else yield next;
      }
    } finally {
      this.subscribers.delete(subscriber);
    }
  }
}

const raw = (bytes: Buffer): Buffer => bytes;

describe('a CRI service that is implemented here', () => {
  let folder: string;
  let endpoint: Endpoint | undefined;
  let client: grpc.Client;
  const opened: { close(): unknown }[] = [];

  beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'stowage-shim-'))));
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
    await endpoint?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const connect = (socketPath: string, authority = 'localhost') => {
    const connected = new grpc.Client(`unix:${socketPath}`, grpc.credentials.createInsecure(), {
      'grpc.default_authority': authority,
      'grpc.use_local_subchannel_pool': 1,
    });
    opened.push(connected);
    return connected;
  };
  const serve = async (runtime: Runtime, more: Partial<ServeCriOptions> = {}): Promise<void> => {
    const listen = { socketPath: path.join(folder, 'shim.sock'), service: 'docker-shim' };
    endpoint = await serveCri(RuntimeServiceDefinition, runtime, { ...listen, ...more });
    client = connect(endpoint.socketPath);
  };
  const unary = (
    method: string,
    request: Uint8Array = Buffer.alloc(0),
    metadata = new grpc.Metadata(),
  ): Promise<{ code: number; details: string; answer?: Buffer }> =>
    new Promise((resolve) => {
      client.makeUnaryRequest(method, raw, raw, Buffer.from(request), metadata, (error, answer) =>
        resolve({ code: error?.code ?? 0, details: error?.details ?? '', answer }),
      );
    });
  /** A stream whose events are read as they come. */
  const subscribe = (on = client, method = methodPath('RuntimeService', 'GetContainerEvents')) => {
    const request = Buffer.from(GetEventsRequest.encode({}).finish());
    const call = on.makeServerStreamRequest(
      method,
      raw,
      (bytes) => ContainerEventResponse.decode(bytes),
      request,
    );
    const ids: string[] = [];
    const stream = { call, ids, status: undefined as grpc.StatusObject | undefined };
    call.on('data', ({ containerId }: ContainerEventResponse) => ids.push(containerId));
    call.on('error', () => undefined);
    call.on('status', (status: grpc.StatusObject) => (stream.status = status));
    return stream;
  };

  it('answers unary calls in both packages', async () => {
    const calls: CriCall[] = [];
    const requests: VersionRequest[] = [];
    await serve({
      version: (request, call) => {
        requests.push(request);
        calls.push(call);
        return Promise.resolve(version);
      },
    });
    const method = methodPath('RuntimeService', 'Version');
    const v1 = await unary(method, VersionRequest.encode({ version: 'v1' }).finish());
    expect(VersionResponse.decode(v1.answer!)).toEqual(version);
    const old = await unary(
      inVersion(method, 'v1alpha2'),
      v1alpha2.VersionRequest.encode({ version: 'old' }).finish(),
    );
    expect(v1alpha2.VersionResponse.decode(old.answer!)).toMatchObject({ runtimeName: 'docker' });
    expect(requests.map((request) => request.version)).toEqual(['v1', 'old']);
    expect(calls.map((call) => call.method)).toEqual([method, inVersion(method, 'v1alpha2')]);
    await calls[1]?.answered;
  });

  it('says UNIMPLEMENTED, with the name of the method, to what it leaves out', async () => {
    await serve({ version: () => Promise.resolve(version) });
    for (const method of [
      methodPath('RuntimeService', 'CheckpointContainer'),
      methodPath('RuntimeService', 'GetContainerEvents', 'v1alpha2'),
      methodPath('ImageService', 'ListImages'),
      '/runtime.v1.RuntimeService/OfTomorrow',
    ]) {
      expect(await unary(method)).toMatchObject({
        code: grpc.status.UNIMPLEMENTED,
        details: `${method}: not implemented by docker-shim`,
      });
    }
  });

  it('answers with the status of what the implementation throws, also before it is asynchronous', async () => {
    await serve({
      startContainer: () => Promise.reject(new NotFoundError('container', 'c1')),
      stopContainer: () => {
        throw new TypeError('broken');
      },
      getContainerEvents: () => {
        throw new NotFoundError('event stream', 'here');
      },
    });
    expect(await unary(methodPath('RuntimeService', 'StartContainer'))).toMatchObject({
      code: grpc.status.NOT_FOUND,
      details: 'container "c1" not found',
    });
    expect(await unary(methodPath('RuntimeService', 'StopContainer'))).toMatchObject({
      code: grpc.status.UNKNOWN,
      details: 'broken',
    });
    const stream = subscribe();
    await eventuallyPasses(() => expect(stream.status?.code).toBe(grpc.status.NOT_FOUND));
  });

  it('may be an object of a class', async () => {
    class Shim {
      readonly #name = 'docker';
      version(): Promise<VersionResponse> {
        return Promise.resolve({ ...version, runtimeName: this.#name });
      }
      async *streamContainers(): AsyncGenerator<StreamContainersResponse> {
        await Promise.resolve();
        for (let i = 0; i < 3; i++) {
          yield StreamContainersResponse.fromPartial({
            containers: [{ id: `${this.#name}-${String(i)}` }],
          });
        }
      }
    }
    await serve(new Shim());
    const { answer } = await unary(methodPath('RuntimeService', 'Version'));
    expect(VersionResponse.decode(answer!).runtimeName).toBe('docker');
    const runtime = connectRuntimeService({ endpoint: `unix://${endpoint!.socketPath}` });
    opened.push(runtime);
    const ids: string[] = [];
    for await (const { containers } of runtime.streamContainers(
      StreamContainersRequest.fromPartial({}),
    )) {
      ids.push(...containers.map(({ id }) => id));
    }
    expect(ids).toEqual(['docker-0', 'docker-1', 'docker-2']);
  });

  it('shares a socket with the other service, and forwards the rest where there is an upstream', async () => {
    await serve(
      { version: () => Promise.resolve(version) },
      {
        handlers: criHandlers(ImageServiceDefinition, {
          listImages: () =>
            Promise.resolve(ListImagesResponse.fromPartial({ images: [{ id: 'x' }] })),
        }),
      },
    );
    const listing = await unary(methodPath('ImageService', 'ListImages'));
    expect(ListImagesResponse.decode(listing.answer!).images[0]?.id).toBe('x');

    const behind = endpoint!;
    opened.push(behind);
    await serve(
      { status: () => Promise.reject(new NotFoundError('status', 'any')) },
      {
        socketPath: path.join(folder, 'front.sock'),
        upstream: { address: () => behind.socketPath },
      },
    );
    expect((await unary(methodPath('RuntimeService', 'Status'))).code).toBe(grpc.status.NOT_FOUND);
    const { answer } = await unary(methodPath('RuntimeService', 'Version'));
    expect(VersionResponse.decode(answer!)).toEqual(version);
    expect(await unary(methodPath('RuntimeService', 'ExecSync'))).toMatchObject({
      code: grpc.status.UNIMPLEMENTED,
    });
  });

  it.each([
    ['a length past the end', [0x0a, 0xff]],
    ['a cut number', [0x08, 0x80]],
    ['text that is not UTF-8', [0x0a, 0x02, 0xc3, 0x28]],
    ['field 0', [0x0a, 0x00, 0x00, 0x0a, 0x00]],
    ['the end of a group that has not begun', [0x0c]],
    ['the end of a group behind other fields', [0x0a, 0x00, 0x0c]],
    ['a tag above 32 bits', [0x8a, 0x80, 0x80, 0x80, 0x10, 0x00]],
    ['a wire type that does not exist', [0x0f]],
  ])('says INVALID_ARGUMENT to %s, and does not begin', async (_what, bytes) => {
    let begun = 0;
    await serve({
      version: () => Promise.resolve((begun++, version)),
      getContainerEvents: async function* () {
        begun++;
        yield await Promise.resolve(event('a'));
      },
    });
    expect(await unary(methodPath('RuntimeService', 'Version'), Buffer.from(bytes))).toEqual({
      code: grpc.status.INVALID_ARGUMENT,
      details: `request: "${bytes.length} bytes" is not allowed; allowed: a VersionRequest message`,
    });
    const nothing = await unary(
      methodPath('RuntimeService', 'GetContainerEvents'),
      Buffer.from([0x0f]),
    );
    expect(nothing.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(begun).toBe(0);
  });

  it('takes text as it is and fields that it does not know', async () => {
    let got: VersionRequest | undefined;
    await serve({
      version: (request) => {
        got = request;
        return Promise.resolve(version);
      },
    });
    const request = Buffer.concat([
      VersionRequest.encode({ version: '\ufeffgrüße' }).finish(),
      PullImageRequest.encode(PullImageRequest.fromPartial({ auth: { username: 'u' } })).finish(),
    ]);
    expect((await unary(methodPath('RuntimeService', 'Version'), request)).code).toBe(0);
    expect(got?.version).toBe('\ufeffgrüße');
  });

  describe.each([
    ['localhost', 'as Go clients from Kubernetes 1.31 on send it'],
    ['/run/stowage/docker-shim.sock', 'as Go clients before send it'],
  ])('GetContainerEvents, with the authority %s %s', (authority) => {
    let events: Events;
    beforeEach(async () => {
      events = new Events();
      await serve({ getContainerEvents: (_request, call) => events.subscribe(call) });
      client = connect(endpoint!.socketPath, authority);
    });

    it('reaches every subscriber in order, until it cancels', async () => {
      const streams = [subscribe(), subscribe(), subscribe(connect(endpoint!.socketPath))];
      await eventuallyPasses(() => expect(events.subscribers.size).toBe(3));
      events.publish(event('a'));
      events.publish(event('b'));
      await eventuallyPasses(() =>
        expect(streams.map(({ ids }) => ids)).toEqual(Array(3).fill(['a', 'b'])),
      );
      streams[0]?.call.cancel();
      await eventuallyPasses(() => expect(events.subscribers.size).toBe(2));
      events.publish(event('c'));
      await eventuallyPasses(() =>
        expect(streams.map(({ ids }) => ids.join(''))).toEqual(['ab', 'abc', 'abc']),
      );
      expect(streams[0]?.status?.code).toBe(grpc.status.CANCELLED);
    });

    it('ends at once with UNAVAILABLE when the endpoint closes', async () => {
      const streams = [subscribe(), subscribe()];
      await eventuallyPasses(() => expect(events.subscribers.size).toBe(2));
      events.publish(event('a'));
      await eventuallyPasses(() => expect(streams[1]?.ids).toEqual(['a']));
      await endpoint!.close({ drainMs: 20_000 });
      expect(streams.map(({ status }) => [status?.code, status?.details])).toEqual(
        Array(2).fill([grpc.status.UNAVAILABLE, 'docker-shim is shutting down']),
      );
      expect(events.subscribers.size).toBe(0);
    });

    it('is released when the client is gone', async () => {
      subscribe();
      await eventuallyPasses(() => expect(events.subscribers.size).toBe(1));
      client.close();
      // A client of grpc-js closes its connection with its last call.
      await endpoint!.close();
      await eventuallyPasses(() => expect(events.subscribers.size).toBe(0));
    });
  });

  it('can fail a subscriber that does not read, while others go on', async () => {
    const events = new Events(10);
    await serve({ getContainerEvents: (_request, call) => events.subscribe(call) });
    const [idle, reading] = [subscribe(), subscribe(connect(endpoint!.socketPath))];
    idle.call.pause();
    await eventuallyPasses(() => expect(events.subscribers.size).toBe(2));
    // More than flow control and buffers on the way take.
    const large = 'x'.repeat(1024 * 1024);
    let published = 0;
    while (events.subscribers.size === 2) {
      events.publish(event(large));
      published++;
      await eventuallyPasses(() => expect(reading.ids).toHaveLength(published));
    }
    idle.call.resume();
    await eventuallyPasses(() => expect(idle.status?.code).toBe(grpc.status.RESOURCE_EXHAUSTED));
    expect(idle.status?.details).toBe('the event queue of this subscriber is full: limit 10');
    events.publish(event('last'));
    await eventuallyPasses(() => expect(reading.ids.at(-1)).toBe('last'));
  });

  it('closes an iterator when no more is wanted, if it can take notice', async () => {
    let returned = 0;
    const nothing: AsyncIterable<ContainerEventResponse> = {
      [Symbol.asyncIterator]: () => {
        let end: (result: IteratorResult<ContainerEventResponse>) => void = () => undefined;
        return {
          next: () => new Promise((resolve) => (end = resolve)),
          return: () => {
            returned++;
            end({ done: true, value: undefined });
            return Promise.resolve({ done: true, value: undefined });
          },
        };
      },
    };
    await serve({ getContainerEvents: () => nothing });
    const stream = subscribe();
    await eventuallyPasses(() => expect(endpoint!.stats().callsInFlight).toBe(1));
    stream.call.cancel();
    await eventuallyPasses(() => expect(returned).toBe(1));
    await eventuallyPasses(() => expect(endpoint!.stats().callsInFlight).toBe(0));
  });
});
