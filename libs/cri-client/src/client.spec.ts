import {
  ContainerEventType,
  type ExecSyncRequest,
  ImageServiceDefinition,
  ImageSpec,
  PullImageRequest,
  RuntimeServiceDefinition,
} from '@stowage/cri-proto';
import {
  CancelledError,
  DeadlineExceededError,
  NotFoundError,
  ResponseInvalidError,
  RuntimeUnavailableError,
} from '@stowage/errors';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { eventually } from '@stowage/testing';
import { renameSync, rmSync, symlinkSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { CommandExitError, CommandTimeoutError, CriError, CriRequestError } from './errors';
import { connectImageService } from './image-service';
import { connectRuntimeService } from './runtime-service';
import {
  FakeCriServer,
  type FakeCriServerOptions,
  FakeStatus,
  startSilentServer,
  temporarySocket,
  type ReceivedCall,
} from './testing/fake-cri-server';
import type {
  CriCall,
  CriCallOutcome,
  CriClientOptions,
  CriConnectionView,
  ImageServiceClient,
  RuntimeAvailability,
  RuntimeServiceClient,
} from './types';

let socket: ReturnType<typeof temporarySocket>;
const cleanUps: (() => void)[] = [];

beforeEach(() => {
  socket = temporarySocket();
  cleanUps.push(socket.remove);
});
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

async function serve(options: FakeCriServerOptions = {}): Promise<FakeCriServer> {
  const server = await FakeCriServer.start(socket.path, options);
  cleanUps.push(() => {
    server.kill();
  });
  return server;
}

function runtime(options: Partial<CriClientOptions> = {}): RuntimeServiceClient {
  const client = connectRuntimeService({ endpoint: `unix://${socket.path}`, ...options });
  cleanUps.push(client.close);
  return client;
}

function images(options: Partial<CriClientOptions> = {}): ImageServiceClient {
  const client = connectImageService({ endpoint: `unix://${socket.path}`, ...options });
  cleanUps.push(client.close);
  return client;
}

/** Waits until the availability is as wanted and returns it. */
function availability(
  client: CriConnectionView,
  wanted: (now: RuntimeAvailability) => boolean,
): Promise<RuntimeAvailability> {
  return new Promise((resolve) => {
    if (wanted(client.availability())) {
      resolve(client.availability());
      return;
    }
    const stop = client.onAvailability((now) => {
      if (!wanted(now)) return;
      stop();
      resolve(now);
    });
  });
}

const isAway = (now: RuntimeAvailability) =>
  !now.available && now.reason?.startsWith('connecting') === false;

async function failure(call: Promise<unknown>): Promise<Error> {
  try {
    await call;
  } catch (error) {
    return error as Error;
  }
  throw new Error('the call did not fail');
}

/** A handler that never answers, and says when a call is in it. */
function hanging() {
  let entered: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => {
    entered = resolve;
  });
  const handler = () => {
    entered();
    return new Promise<never>(() => undefined);
  };
  return { reached, handler };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener('abort', () => {
        resolve();
      });
  });
}

describe('choosing the version', () => {
  it('speaks v1 to a runtime that serves it, to the authority localhost', async () => {
    const server = await serve({ handlers: { ListImages: () => ({ images: [{ id: 'a' }] }) } });
    const client = images();
    const { images: list } = await client.listImages({ filter: { image: { image: 'a' } } });
    expect(list.map(({ id }) => id)).toEqual(['a']);
    expect(server.calls.map((call) => call.path)).toEqual([
      '/runtime.v1.ImageService/ImageFsInfo',
      '/runtime.v1.ImageService/ListImages',
    ]);
    expect(server.calls.map((call) => call.authority)).toEqual(['localhost', 'localhost']);
    expect(server.calls[1]?.request).toMatchObject({ filter: { image: { image: 'a' } } });
    expect(client.availability()).toMatchObject({ available: true, version: 'v1', connections: 1 });
  });

  it('speaks v1alpha2 to a runtime that does not implement v1, with the same types', async () => {
    const server = await serve({
      packages: ['v1alpha2'],
      handlers: { ListContainers: () => ({ containers: [{ id: 'c', createdAt: 5n }] }) },
    });
    const client = runtime();
    const { containers } = await client.listContainers({ filter: { podSandboxId: 'p' } });
    expect(containers).toMatchObject([{ id: 'c', createdAt: 5n }]);
    expect(server.calls.map((call) => call.path)).toEqual([
      '/runtime.v1alpha2.RuntimeService/Version',
      '/runtime.v1alpha2.RuntimeService/ListContainers',
    ]);
    expect(client.availability().version).toBe('v1alpha2');
  });

  it('is not available where neither version is implemented, with the cause and what to do', async () => {
    const server = await serve({ packages: [] });
    const client = runtime();
    const clients = { runtime: client, image: images() };
    for (const [service, view] of Object.entries(clients)) {
      const { reason } = await availability(view, isAway);
      expect(reason).toBe(
        `it answers but does not serve the CRI's ${service} service, neither v1 nor v1alpha2. ` +
          "In containerd the CRI plugin is switched off, as in Docker's own package, or failed to load " +
          '(`ctr plugins ls` shows it): take "cri" out of disabled_plugins in ' +
          '/etc/containerd/config.toml and restart containerd',
      );
    }
    expect(await failure(client.status())).toMatchObject({ code: 'RUNTIME_UNAVAILABLE' });
    server.kill();
    await serve();
    await Promise.all(Object.values(clients).map((view) => view.whenAvailable()));
  });

  it('is not available while v1 is not implemented and v1alpha2 fails otherwise', async () => {
    await serve({
      packages: ['v1alpha2'],
      handlers: {
        Version: () => {
          throw new FakeStatus('UNKNOWN', 'server is not initialized yet');
        },
      },
    });
    const { reason } = await availability(runtime(), isAway);
    expect(reason).toBe(
      'unable to determine runtime API version: rpc error: code = Unknown desc = server is not initialized yet',
    );
  });

  it('asks the runtime service by Version and the image service by ImageFsInfo, each on a connection of its own', async () => {
    const server = await serve({ packages: ['v1', 'v1alpha2'] });
    await Promise.all([runtime().whenAvailable(), images().whenAvailable()]);
    expect(server.calls.map((call) => call.path).sort()).toEqual([
      '/runtime.v1.ImageService/ImageFsInfo',
      '/runtime.v1.RuntimeService/Version',
    ]);
  });

  it('can be set to accept v1 only, with the text of newer kubelets', async () => {
    await serve({ packages: ['v1alpha2'] });
    const client = images({ versions: 'v1' });
    const now = await availability(client, isAway);
    expect(now.reason).toMatch(
      `validate service connection: validate CRI v1 image API for endpoint "unix://${socket.path}": rpc error: code = Unimplemented desc = `,
    );
  });

  it('does not go live while the first call fails, and does so by itself when it works', async () => {
    const server = await serve({
      handlers: {
        Version: () => {
          throw new FakeStatus('INTERNAL', 'still starting');
        },
      },
    });
    const client = runtime();
    expect(await failure(client.status())).toMatchObject({
      name: 'RuntimeUnavailableError',
      reason:
        'unable to determine runtime API version: rpc error: code = Internal desc = still starting',
    });
    server.handlers['Version'] = () => ({});
    await client.whenAvailable();
    expect(client.availability()).toMatchObject({ available: true, connections: 1 });
  });
});

describe('a runtime that is away', () => {
  it('absent at start: calls fail at once and say since when and why; it is found when it comes', async () => {
    const client = runtime({ now: () => 1_000 });
    const error = await failure(client.version());
    expect(error).toBeInstanceOf(RuntimeUnavailableError);
    expect(error.message).toBe(
      `container runtime at unix://${socket.path} is unavailable since 1970-01-01T00:00:01.000Z: connect ENOENT ${socket.path}`,
    );
    expect(client.availability()).toEqual({
      available: false,
      since: new Date(1_000),
      reason: `connect ENOENT ${socket.path}`,
      connections: 0,
    });
    await serve();
    await client.whenAvailable();
    expect((await client.version()).runtimeName).toBe('fake');
  });

  it('killed with a call in flight: the call fails, later ones fail at once, and all is well when it is back', async () => {
    const { reached, handler } = hanging();
    let clock = 10;
    const seen: RuntimeAvailability[] = [];
    const first = await serve({ handlers: { Status: handler } });
    const client = runtime({ now: () => clock });
    client.onAvailability((now) => seen.push(now));
    const inFlight = failure(client.status());
    await reached;
    clock = 20;
    first.kill();
    expect(await inFlight).toMatchObject({
      name: 'RuntimeUnavailableError',
      endpoint: `unix://${socket.path}`,
      since: new Date(20),
      grpcStatus: 'UNAVAILABLE',
    });
    clock = 30;
    const away = await availability(client, isAway);
    expect(away).toMatchObject({ since: new Date(20), reason: `connect ENOENT ${socket.path}` });
    expect(await failure(client.version())).toMatchObject({ since: new Date(20) });
    await serve();
    await client.whenAvailable();
    expect(seen.map(({ available, connections }) => ({ available, connections }))).toEqual([
      { available: true, connections: 1 },
      { available: false, connections: 1 },
      { available: true, connections: 2 },
    ]);
  });

  it('upgraded from v1alpha2 to v1 behind the same socket: the version is chosen anew', async () => {
    const old = await serve({ packages: ['v1alpha2'] });
    const client = runtime();
    await client.whenAvailable();
    expect(client.availability().version).toBe('v1alpha2');
    old.kill();
    const upgraded = await serve({ packages: ['v1'], handlers: { Status: () => ({}) } });
    await availability(client, (now) => now.version === 'v1');
    await failure(client.status());
    expect(upgraded.callsOf('Status').map((call) => call.path)).toEqual([
      '/runtime.v1.RuntimeService/Status',
    ]);
  });

  it('replaced at once by a new instance: calls in flight end, none fails, and only the connection count shows it', async () => {
    let answer: (response: object) => void = () => undefined;
    const server = (name: string, options: FakeCriServerOptions) => {
      const started = FakeCriServer.start(`${socket.path}.${name}`, options);
      cleanUps.push(() => void started.then((it) => it.kill()));
      return started;
    };
    const pointTo = (name: string) => {
      rmSync(socket.path, { force: true });
      symlinkSync(`${socket.path}.${name}`, socket.path);
    };
    let enter: () => void = () => undefined;
    const entered = new Promise<void>((resolve) => (enter = resolve));
    const old = await server('old', {
      handlers: {
        ListContainers: () => {
          enter();
          return new Promise((resolve) => (answer = resolve));
        },
      },
    });
    const fresh = await server('new', {
      handlers: { ListPodSandbox: () => ({ items: [{ id: 'p' }] }) },
    });
    pointTo('old');
    const client = runtime();
    await client.whenAvailable();
    const seen: boolean[] = [];
    client.onAvailability(({ available }) => seen.push(available));
    const inFlight = client.listContainers();
    await entered;
    pointTo('new');
    old.drain();
    await availability(client, ({ connections }) => connections === 2);
    expect((await client.listPodSandbox()).items).toHaveLength(1);
    expect(fresh.callsOf('ListPodSandbox')).toHaveLength(1);
    answer({ containers: [{ id: 'c' }] });
    expect((await inFlight).containers).toHaveLength(1);
    expect(seen).toEqual([true]);
  });

  it('replaced by a process that takes its path without a word: the next calls go there, calls in flight end', async () => {
    let answer: (response: object) => void = () => undefined;
    let enter: () => void = () => undefined;
    const entered = new Promise<void>((resolve) => (enter = resolve));
    const old = await serve({
      handlers: {
        ListContainers: () => {
          enter();
          return new Promise<object>((resolve) => (answer = resolve));
        },
      },
    });
    const client = runtime();
    await client.whenAvailable();
    const inFlight = client.listContainers();
    await entered;
    const elsewhere = temporarySocket();
    cleanUps.push(elsewhere.remove);
    const fresh = await FakeCriServer.start(elsewhere.path, {
      handlers: { ListPodSandbox: () => ({ items: [{ id: 'p' }] }) },
    });
    cleanUps.push(() => {
      fresh.kill();
    });
    renameSync(elsewhere.path, socket.path);
    await availability(client, ({ connections }) => connections === 2);
    expect((await client.listPodSandbox()).items).toHaveLength(1);
    answer({ containers: [{ id: 'c' }] });
    expect((await inFlight).containers).toHaveLength(1);
    expect(old.callsOf('ListPodSandbox')).toEqual([]);
  });

  it('connects but never speaks: it is given 5 s, in which calls wait within their own limits', async () => {
    const silent = await startSilentServer(socket.path);
    cleanUps.push(silent.close);
    const client = runtime();
    const abort = new AbortController();
    const given = failure(client.status({}, { signal: abort.signal }));
    expect(await failure(client.version({}, { timeoutMs: 50 }))).toMatchObject({
      name: 'DeadlineExceededError',
      message: 'Version timed out after 50 ms',
    });
    abort.abort();
    expect(await given).toBeInstanceOf(CancelledError);
    const waited = failure(client.version());
    await expect(waited).resolves.toMatchObject({
      name: 'RuntimeUnavailableError',
      reason: 'no HTTP/2 answer within 5000 ms of connecting',
    });
    expect(silent.connections()).toBe(1);
  });

  it('does not answer the first call: calls stop waiting after 5 s, and it goes live when the answer comes', async () => {
    let answer: (response: object) => void = () => undefined;
    await serve({
      handlers: { Version: () => new Promise((resolve) => (answer = resolve)) },
    });
    const client = runtime();
    expect(await failure(client.status())).toMatchObject({
      reason: 'connected, but no answer to the first call within 5000 ms',
    });
    answer({});
    await client.whenAvailable();
    expect(client.availability().connections).toBe(1);
  });
});

describe('errors', () => {
  it('of the runtime keep status and message', async () => {
    await serve({
      handlers: {
        RemoveImage: () => {
          throw new FakeStatus('FAILED_PRECONDITION', 'image is in use by "c"');
        },
      },
    });
    const error = await failure(images().removeImage({ image: { image: 'i' } }));
    expect(error).toBeInstanceOf(CriError);
    expect(error).toMatchObject({
      code: 'CRI_ERROR',
      method: 'RemoveImage',
      grpcStatus: 'FAILED_PRECONDITION',
      message: 'image is in use by "c"',
      retryable: false,
    });
  });

  it('UNAVAILABLE said by a runtime that is there stays its own answer', async () => {
    await serve({
      handlers: {
        Status: () => {
          throw new FakeStatus('UNAVAILABLE', 'shutting down');
        },
      },
    });
    const client = runtime();
    const error = await failure(client.status());
    expect(error).toMatchObject({ name: 'CriError', message: 'shutting down', retryable: true });
    expect(client.availability().available).toBe(true);
  });

  it('without a message name call and status', async () => {
    await serve({
      handlers: {
        Status: () => {
          throw new FakeStatus('INTERNAL', '');
        },
      },
    });
    expect((await failure(runtime().status())).message).toBe('Status: INTERNAL');
  });

  it.each([
    ['an aborted signal', new AbortController(), undefined, CancelledError],
    ['a coded reason', new AbortController(), new NotFoundError('image', 'a'), NotFoundError],
    [
      "the caller's own time-out",
      new AbortController(),
      new DOMException('too late', 'TimeoutError'),
      DOMException,
    ],
  ])('%s ends the call here and at the runtime', async (_what, controller, reason, type) => {
    const { reached, handler } = hanging();
    const server = await serve({ handlers: { PullImage: handler } });
    const call = failure(
      images().pullImage({ image: { image: 'a' } }, { signal: controller.signal }),
    );
    await reached;
    controller.abort(reason);
    const error = await call;
    expect(error).toBeInstanceOf(type);
    if (reason !== undefined) expect(error).toBe(reason);
    const [received] = server.callsOf('PullImage');
    await aborted(received!.signal);
  });

  it('a signal aborted beforehand makes no call', async () => {
    const server = await serve();
    const client = runtime();
    await client.whenAvailable();
    expect((await failure(client.status({}, { signal: AbortSignal.abort() }))).message).toBe(
      'Status was cancelled by the caller',
    );
    expect(server.callsOf('Status')).toHaveLength(0);
  });

  it('a reply above 16 MiB is refused, one below passes', async () => {
    const info = (bytes: number) => ({ info: { dump: 'x'.repeat(bytes) } });
    await serve({
      handlers: {
        ImageStatus: ({ request }) =>
          info(((request as { verbose: boolean }).verbose ? 17 : 15) * 1024 * 1024),
      },
    });
    const client = images();
    expect((await client.imageStatus()).info['dump']).toHaveLength(15 * 1024 * 1024);
    expect(await failure(client.imageStatus({ verbose: true }))).toMatchObject({
      name: 'CriError',
      grpcStatus: 'RESOURCE_EXHAUSTED',
    });
  });
});

describe('time limits', () => {
  const nothing = async function* () {
    await Promise.resolve();
    yield {};
  };

  /** The timeout that the runtime gets, in whole seconds; `none` without a deadline. */
  const sentTimeout = async (
    call: (r: RuntimeServiceClient, i: ImageServiceClient) => Promise<unknown>,
  ): Promise<number | 'none'> => {
    const server = await serve();
    const [r, i] = [runtime({ timeoutMs: 60_000 }), images({ timeoutMs: 60_000 })];
    await Promise.all([r.whenAvailable(), i.whenAvailable()]);
    server.calls.length = 0;
    for (const method of [
      ...Object.values(RuntimeServiceDefinition.methods),
      ...Object.values(ImageServiceDefinition.methods),
    ]) {
      server.handlers[method.name] = method.responseStream ? nothing : () => ({});
    }
    await call(r, i).catch(() => undefined);
    const [{ timeoutMs } = { timeoutMs: NaN }] = server.calls;
    // What is left of it when the call is sent.
    return timeoutMs === undefined ? 'none' : Math.ceil(timeoutMs / 1000);
  };

  const table: [
    string,
    (r: RuntimeServiceClient, i: ImageServiceClient) => Promise<unknown>,
    number | 'none',
  ][] = [
    ['Status', (r) => r.status(), 60],
    ['RunPodSandbox', (r) => r.runPodSandbox(), 120],
    ['StopContainer with 30 s of grace', (r) => r.stopContainer({ timeout: 30 }), 90],
    ['StopContainer with no grace', (r) => r.stopContainer({ timeout: 0 }), 60],
    ['StopContainer with a grace that makes no sense', (r) => r.stopContainer({ timeout: -5 }), 60],
    [
      'StopContainer with a grace beyond all clocks',
      (r) => r.stopContainer({ timeout: 2n ** 63n - 1n }),
      'none',
    ],
    [
      'StopContainer with a grace of 20 days',
      (r) => r.stopContainer({ timeout: 1_728_000 }),
      1_728_060,
    ],
    ['ExecSync for 5 s', (r) => r.execSync({ timeout: 5 }), 65],
    ['ExecSync without a limit', (r) => r.execSync(), 'none'],
    ['PullImage', (_r, i) => i.pullImage(), 'none'],
    ['PullImage with a limit of the caller', (_r, i) => i.pullImage({}, { timeoutMs: 9000 }), 9],
    ['ListImages', (_r, i) => i.listImages(), 60],
    ['Status with a shorter limit of the caller', (r) => r.status({}, { timeoutMs: 7000 }), 7],
    ['Status with a longer limit of the caller', (r) => r.status({}, { timeoutMs: 90_000 }), 60],
    ['CheckpointContainer for 10 s', (r) => r.checkpointContainer({ timeout: 10 }), 60],
    ['CheckpointContainer for 100 s', (r) => r.checkpointContainer({ timeout: 100 }), 100],
    ['CheckpointPod', (r) => r.checkpointPod({}), 60],
    [
      'CheckpointPod with a longer limit of the caller',
      (r) => r.checkpointPod({}, { timeoutMs: 90_000 }),
      90,
    ],
    [
      'GetContainerEvents',
      async (r) => {
        for await (const {} of r.getContainerEvents()) break;
      },
      'none',
    ],
  ];
  it.each(table)('%s', async (_what, call, seconds) => {
    expect(await sentTimeout(call)).toBe(seconds);
  });

  it('CheckpointContainer: a time-out below the base is raised to it in the request', async () => {
    const server = await serve({ handlers: { CheckpointContainer: () => ({}) } });
    const client = runtime({ timeoutMs: 60_500 });
    await client.checkpointContainer({ timeout: 10 });
    await client.checkpointContainer({ timeout: 100 });
    expect(server.callsOf('CheckpointContainer').map(({ request }) => request)).toMatchObject([
      { timeout: 60n },
      { timeout: 100n },
    ]);
  });

  it('a call that takes too long fails with its limit, and is cancelled at the runtime', async () => {
    const { reached, handler } = hanging();
    const server = await serve({ handlers: { ListImages: handler } });
    const client = images({ timeoutMs: 1000 });
    await client.whenAvailable();
    const call = failure(client.listImages());
    await reached;
    const error = await call;
    expect(error).toBeInstanceOf(DeadlineExceededError);
    expect(error.message).toBe('ListImages timed out after 1000 ms');
    await aborted(server.callsOf('ListImages')[0]!.signal);
  });

  it('DEADLINE_EXCEEDED said by the runtime before that is its own answer', async () => {
    await serve({
      handlers: {
        ListImages: () => {
          throw new FakeStatus('DEADLINE_EXCEEDED', 'snapshotter too slow');
        },
      },
    });
    expect(await failure(images().listImages())).toMatchObject({
      name: 'CriError',
      message: 'snapshotter too slow',
    });
  });

  it.each([0, -1, NaN])('a limit of %p is refused', async (timeoutMs) => {
    await serve();
    expect(await failure(runtime().status({}, { timeoutMs }))).toBeInstanceOf(CriRequestError);
  });
});

describe('responses', () => {
  it('that lack what kubelet wants are errors, though the call succeeded', async () => {
    await serve({ handlers: { PullImage: () => ({}) } });
    const error = await failure(images().pullImage({ image: { image: 'a"b' } }));
    expect(error).toBeInstanceOf(ResponseInvalidError);
    expect(error).toMatchObject({
      message: 'imageRef of image "a\\"b" is not set',
      method: 'PullImage',
    });
  });

  it('ExecSync: an exit code other than 0 is an error that holds the outputs', async () => {
    await serve({
      handlers: {
        ExecSync: ({ request }) => ({
          stdout: Buffer.from('out'),
          stderr: Buffer.from('err'),
          exitCode: (request as ExecSyncRequest).cmd.length,
        }),
      },
    });
    const client = runtime();
    const error = await failure(client.execSync({ cmd: ['sh', '-c', 'exit 3'] }));
    expect(error.message).toBe("command 'sh -c exit 3' exited with 3: err");
    if (!(error instanceof CommandExitError)) throw error;
    const { exitCode, stdout, stderr } = error;
    expect([exitCode, Buffer.from(stdout).toString(), Buffer.from(stderr).toString()]).toEqual([
      3,
      'out',
      'err',
    ]);
    expect(await client.execSync()).toMatchObject({ exitCode: 0 });
  });

  it('ExecSync: a command that ran out of time is recognised by its time', async () => {
    await serve({
      handlers: {
        ExecSync: () => {
          throw new FakeStatus('DEADLINE_EXCEEDED', 'context deadline exceeded');
        },
      },
    });
    const error = await failure(runtime().execSync({ cmd: ['sleep', '99'], timeout: 90 }));
    expect(error).toBeInstanceOf(CommandTimeoutError);
    expect(error.message).toBe('command timed out: "sleep 99" timed out after 1m30s');
  });
});

describe('requests', () => {
  it('keep fields that no type here knows', async () => {
    const server = await serve({ handlers: { PullImage: () => ({ imageRef: 'r' }) } });
    const future = new BinaryWriter()
      .uint32((1000 << 3) | 2)
      .string('x')
      .finish();
    const spec = Uint8Array.from([
      ...ImageSpec.encode(ImageSpec.fromPartial({ image: 'a', annotations: { k: 'v' } })).finish(),
      ...future,
    ]);
    const bytes = new BinaryWriter().uint32(10).bytes(spec).finish();
    await images().pullImage(PullImageRequest.decode(bytes));
    const [received] = server.callsOf('PullImage');
    const sent = PullImageRequest.encode(received!.request as PullImageRequest).finish();
    expect(Array.from(sent)).toEqual(Array.from(bytes));
  });

  it.each([
    [
      'CheckpointContainer requires non-nil CheckpointRestoreOptions parameter',
      (client: RuntimeServiceClient) => client.checkpointContainer(),
    ],
    [
      'CheckpointContainer requires the timeout value to be > 0',
      (client: RuntimeServiceClient) => client.checkpointContainer({ timeout: -1 }),
    ],
    [
      'CheckpointPod requires non-nil CheckpointPodRequest parameter',
      (client: RuntimeServiceClient) => client.checkpointPod(),
    ],
    [
      'RestorePod requires non-nil RestorePodRequest parameter',
      (client: RuntimeServiceClient) => client.restorePod(),
    ],
    [
      'header no spaces has a name or value not allowed',
      (client: RuntimeServiceClient) => client.status({}, { headers: { 'no spaces': '' } }),
    ],
  ])('%s: refused before it is sent', async (message, call) => {
    const server = await serve();
    const client = runtime();
    await client.whenAvailable();
    const error = await failure(call(client));
    expect(error).toBeInstanceOf(CriRequestError);
    expect(error.message).toBe(message);
    expect(server.calls).toHaveLength(1);
  });

  it('onSent is called once a request has left, before the answer is there', async () => {
    const order: string[] = [];
    await serve({ handlers: { Status: () => (order.push('arrived'), {}) } });
    const client = runtime();
    await client.whenAvailable();
    await failure(client.status({}, { onSent: () => order.push('sent') }));
    expect(order).toEqual(['sent', 'arrived']);
  });

  it('onSent is not called when there is no connection', async () => {
    const onSent = jest.fn();
    await failure(runtime().status({}, { onSent, timeoutMs: 50 }));
    expect(onSent).not.toHaveBeenCalled();
  });

  it('many at once share the connection', async () => {
    const server = await serve({ handlers: { ImageStatus: () => ({}) } });
    const client = images();
    await Promise.all(Array.from({ length: 300 }, () => client.imageStatus()));
    expect(server.callsOf('ImageStatus')).toHaveLength(300);
    expect(client.availability().connections).toBe(1);
  });
});

it('many calls may share one signal without a warning, and end with it', async () => {
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on('warning', warn);
  cleanUps.push(() => process.off('warning', warn));
  const server = await serve({ handlers: { Status: () => new Promise(() => undefined) } });
  const client = runtime();
  await client.whenAvailable();
  const abort = new AbortController();
  const calls = Array.from({ length: 50 }, () =>
    failure(client.status({}, { signal: abort.signal })),
  );
  while (server.callsOf('Status').length < 50) await setImmediate();
  abort.abort();
  expect(new Set((await Promise.all(calls)).map(({ name }) => name))).toEqual(
    new Set(['CancelledError']),
  );
  expect(warnings).toEqual([]);
});

describe('streams', () => {
  it('of events are iterated as they come; leaving the loop cancels them at the runtime', async () => {
    const server = await serve({
      handlers: {
        GetContainerEvents: async function* ({ signal }) {
          yield {
            containerId: 'a',
            containerEventType: ContainerEventType.CONTAINER_STARTED_EVENT,
          };
          yield { containerId: 'b' };
          await aborted(signal);
        },
      },
    });
    const seen: string[] = [];
    let isStarted = false;
    const events = runtime().getContainerEvents({}, { onStarted: () => (isStarted = true) });
    for await (const event of events) {
      expect(isStarted).toBe(true);
      seen.push(event.containerId);
      if (seen.length === 2) break;
    }
    expect(seen).toEqual(['a', 'b']);
    await aborted(server.callsOf('GetContainerEvents')[0]!.signal);
  });

  const idle = async function* ({ signal }: { signal: AbortSignal }) {
    yield { containerId: 'a' };
    await aborted(signal);
  };

  it('end with the signal', async () => {
    await serve({ handlers: { GetContainerEvents: idle } });
    const abort = new AbortController();
    const read = async () => {
      for await (const {} of runtime().getContainerEvents({}, { signal: abort.signal })) {
        abort.abort();
      }
    };
    expect((await failure(read())).message).toBe('GetContainerEvents was cancelled by the caller');
  });

  it('end when the runtime goes', async () => {
    const server = await serve({ handlers: { GetContainerEvents: idle } });
    const read = async () => {
      for await (const {} of runtime().getContainerEvents()) server.kill();
    };
    expect(await failure(read())).toBeInstanceOf(RuntimeUnavailableError);
  });

  it.each([
    ['says GOAWAY and goes on to send', (server: FakeCriServer) => server.drain()],
    ['keeps silent while another one takes its path', () => rmSync(socket.path)],
  ])('of events end when the runtime %s, which is another one from then on', async (_how, go) => {
    const open = async function* ({ signal }: ReceivedCall) {
      yield { containerId: 'c', containerEventType: ContainerEventType.CONTAINER_CREATED_EVENT };
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
    };
    const old = await serve({ handlers: { GetContainerEvents: open } });
    const client = runtime();
    const seen: string[] = [];
    const read = (async () => {
      for await (const event of client.getContainerEvents()) seen.push(event.containerId);
    })();
    await eventually(() => seen.length === 1);
    go(old);
    const fresh = await serve({ handlers: { GetContainerEvents: open } });
    expect(await failure(read)).toBeInstanceOf(RuntimeUnavailableError);
    await eventually(() => old.callsOf('GetContainerEvents')[0]?.signal.aborted === true);
    await client.getContainerEvents()[Symbol.asyncIterator]().next();
    expect(fresh.callsOf('GetContainerEvents')).toHaveLength(1);
  });

  it('that a runtime does not have say so', async () => {
    await serve();
    const read = async () => {
      for await (const {} of runtime().getContainerEvents()) return;
    };
    expect(await failure(read())).toMatchObject({ name: 'CriError', grpcStatus: 'UNIMPLEMENTED' });
  });

  it('end by themselves when the runtime ends them', async () => {
    await serve({
      handlers: {
        GetContainerEvents: async function* () {
          await Promise.resolve();
          yield { containerId: 'a' };
        },
      },
    });
    const seen: string[] = [];
    for await (const event of runtime().getContainerEvents()) seen.push(event.containerId);
    expect(seen).toEqual(['a']);
  });
});

describe('lists by stream', () => {
  const chunked = (...chunks: object[]) =>
    async function* () {
      await Promise.resolve();
      yield* chunks;
    };

  it('are collected from all chunks', async () => {
    const server = await serve({
      handlers: {
        StreamImages: chunked({ images: [{ id: 'a' }, { id: 'b' }] }, { images: [{ id: 'c' }] }),
        StreamPodSandboxes: chunked(
          { podSandboxes: [{ id: 'p' }] },
          { podSandboxes: [{ id: 'q' }] },
        ),
        StreamContainers: chunked({ containers: [{ id: 'c' }] }),
        StreamContainerStats: chunked({ containerStats: [{ attributes: { id: 's' } }] }),
        StreamPodSandboxStats: chunked({ podSandboxStats: [{ attributes: { id: 't' } }] }),
        StreamPodSandboxMetrics: chunked({ podSandboxMetrics: [{ podSandboxId: 'm' }] }),
      },
    });
    const [r, i] = [runtime({ listStreaming: true }), images({ listStreaming: true })];
    const filter = { image: { image: 'a' } };
    expect((await i.listImages({ filter })).images.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
    expect((await r.listPodSandbox()).items.map(({ id }) => id)).toEqual(['p', 'q']);
    expect((await r.listContainers()).containers).toMatchObject([{ id: 'c' }]);
    expect((await r.listContainerStats()).stats).toMatchObject([{ attributes: { id: 's' } }]);
    expect((await r.listPodSandboxStats()).stats).toMatchObject([{ attributes: { id: 't' } }]);
    expect((await r.listPodSandboxMetrics()).podMetrics).toMatchObject([{ podSandboxId: 'm' }]);
    expect(server.callsOf('StreamImages')[0]?.request).toMatchObject({ filter });
    expect(server.calls.filter((call) => call.path.includes('/List'))).toEqual([]);
  });

  it('are not used unless asked for', async () => {
    const server = await serve({ handlers: { ListImages: () => ({}), StreamImages: chunked() } });
    await images().listImages();
    expect(server.callsOf('StreamImages')).toHaveLength(0);
  });

  it('fall back for the whole connection when the runtime has none, and are tried again after a reconnect', async () => {
    const handlers = {
      ListPodSandbox: () => ({ items: [{ id: 'p' }] }),
      ListContainers: () => ({}),
    };
    const server = await serve({ handlers });
    const client = runtime({ listStreaming: true });
    const filter = { id: 'x' };
    expect((await client.listPodSandbox({ filter })).items).toHaveLength(1);
    await client.listContainers();
    await client.listPodSandbox();
    const paths = server.calls.map((call) => call.path.replace('/runtime.v1.RuntimeService/', ''));
    expect(paths).toEqual([
      'Version',
      'StreamPodSandboxes',
      'ListPodSandbox',
      'ListContainers',
      'ListPodSandbox',
    ]);
    expect(server.callsOf('ListPodSandbox')[0]?.request).toMatchObject({ filter });
    server.kill();
    const upgraded = await serve({
      handlers: { StreamPodSandboxes: chunked({ podSandboxes: [{ id: 'q' }] }) },
    });
    await availability(client, ({ connections }) => connections === 2);
    expect((await client.listPodSandbox()).items).toMatchObject([{ id: 'q' }]);
    expect(upgraded.callsOf('StreamPodSandboxes')).toHaveLength(1);
  });

  it('any other error drops what came before it', async () => {
    const server = await serve({
      handlers: {
        StreamImages: async function* () {
          await Promise.resolve();
          yield { images: [{ id: 'a' }] };
          throw new FakeStatus('INTERNAL', 'disk');
        },
      },
    });
    const client = images({ listStreaming: true });
    expect(await failure(client.listImages())).toMatchObject({ name: 'CriError', message: 'disk' });
    expect(server.callsOf('ListImages')).toHaveLength(0);
  });

  it('share one time limit between the stream and the fall-back', async () => {
    const { handler } = hanging();
    await serve({ handlers: { StreamImages: idleStream, ListImages: handler } });
    const client = images({ listStreaming: true });
    expect(await failure(client.listImages({}, { timeoutMs: 200 }))).toMatchObject({
      message: 'ListImages timed out after 200 ms',
    });
  });
  const idleStream = async function* ({ signal }: { signal: AbortSignal }) {
    yield { images: [{ id: 'a' }] };
    await aborted(signal);
  };
});

describe('observers', () => {
  it('hear of each call and how it ended, and can send headers along', async () => {
    const server = await serve({
      handlers: {
        ListContainers: () => ({}),
        GetContainerEvents: async function* () {
          await Promise.resolve();
          yield {};
        },
      },
    });
    const seen: [CriCall, CriCallOutcome][] = [];
    const client = runtime({
      observer: {
        callStarted: (call) => ({
          headers: { traceparent: '00-1-2-01' },
          ended: (outcome) => seen.push([call, outcome]),
        }),
      },
    });
    await client.listContainers({}, { headers: { 'x-caller': 'me' } });
    const error = await failure(client.containerStatus({ containerId: 'c1' }));
    for await (const {} of client.getContainerEvents()) break;
    const base = { service: 'runtime', endpoint: client.endpoint };
    expect(seen).toEqual([
      [
        { ...base, method: 'ListContainers', operation: 'list_containers', objectId: undefined },
        { durationMs: expect.any(Number) },
      ],
      [
        { ...base, method: 'ContainerStatus', operation: 'container_status', objectId: 'c1' },
        { durationMs: expect.any(Number), error },
      ],
      [
        {
          ...base,
          method: 'GetContainerEvents',
          operation: 'get_container_events',
          objectId: undefined,
        },
        { durationMs: expect.any(Number) },
      ],
    ]);
    expect(server.callsOf('ListContainers')[0]?.headers).toMatchObject({
      traceparent: '00-1-2-01',
      'x-caller': 'me',
    });
    expect(server.callsOf('Version')[0]?.headers).not.toHaveProperty('traceparent');
  });

  it('that throw do not touch the call', async () => {
    await serve({ handlers: { ListContainers: () => ({}) } });
    const boom = () => {
      throw new Error('boom');
    };
    const client = runtime({ observer: { callStarted: boom } });
    await client.listContainers();
    const other = runtime({ observer: { callStarted: () => ({ ended: boom }) } });
    await other.listContainers();
    other.onAvailability(boom);
    other.close();
    expect(other.availability().available).toBe(false);
  });
});

describe('closing', () => {
  it('ends calls and streams in flight, waiting ones and later ones', async () => {
    const { reached, handler } = hanging();
    const server = await serve({ handlers: { Status: handler } });
    const client = runtime({ now: () => 7_000 });
    const inFlight = failure(client.status());
    await reached;
    client.close();
    client.close();
    const text = `container runtime at ${client.endpoint} is unavailable since 1970-01-01T00:00:07.000Z: this client is closed`;
    expect((await inFlight).message).toBe(text);
    expect((await failure(client.status())).message).toBe(text);
    expect((await failure(client.whenAvailable())).message).toBe(text);
    await aborted(server.callsOf('Status')[0]!.signal);
  });

  it('ends the attempts to connect', async () => {
    const client = runtime();
    const waiting = failure(client.whenAvailable());
    await availability(client, isAway);
    client.close();
    expect((await waiting).message).toMatch('this client is closed');
    const server = await serve();
    const other = runtime();
    await other.whenAvailable();
    expect(server.callsOf('Version')).toHaveLength(1);
  });

  it('whenAvailable ends with its signal', async () => {
    const client = runtime();
    const abort = new AbortController();
    const waiting = failure(client.whenAvailable({ signal: abort.signal }));
    abort.abort(new Error('enough'));
    expect((await waiting).message).toBe('enough');
  });
});

describe('options', () => {
  it.each([
    ['', 15_000, 'endpoint is required'],
    ['', -1, 'endpoint is required'],
    ['unix:///tmp/x.sock', -1, 'connectionTimeout must be positive'],
    ['unix:///tmp/x.sock', 0, 'connectionTimeout must be positive'],
    ['unix:///tmp/x.sock', NaN, 'connectionTimeout must be positive'],
    ['tcp://localhost:9090', 15_000, 'only support unix socket endpoint'],
    ['https://example.org/', 15_000, 'protocol "https" not supported'],
    ['x.sock', 15_000, 'endpoint "x.sock" has no socket path; write unix:///path/to/the.sock'],
  ])('endpoint %p and time limit %p ms: %s', (endpoint, timeoutMs, message) => {
    expect(() => connectRuntimeService({ endpoint, timeoutMs })).toThrow(message);
    expect(() => connectImageService({ endpoint, timeoutMs })).toThrow(message);
  });

  it('a socket path with odd characters is reached as it is', async () => {
    const folder = socket.path.replace(/cri\.sock$/, '');
    const odd = `${folder}a b%?#.sock`;
    const server = await FakeCriServer.start(odd);
    cleanUps.push(() => {
      server.kill();
    });
    const client = runtime({ endpoint: `unix://${folder}a%20b%25%3F%23.sock` });
    await client.whenAvailable();
    expect(server.calls).toHaveLength(1);
  });
});
