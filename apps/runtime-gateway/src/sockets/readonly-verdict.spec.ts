import {
  ContainerStatusRequest,
  ImageServiceDefinition,
  ImageStatusRequest,
  PodSandboxStatusRequest,
  RuntimeServiceDefinition,
  StatusRequest,
} from '@stowage/cri-proto';
import type { MessageFns } from '@stowage/cri-proto';
import { readonlyVerdict, type ReadonlyRules } from './readonly-verdict';

const strict: ReadonlyRules = {
  verboseAllowed: false,
  events: 'auto',
  identify: () => Promise.resolve({ runtimeName: 'containerd', runtimeVersion: 'v2.1.4' }),
};
const call = { signal: new AbortController().signal };
const methods = [RuntimeServiceDefinition, ImageServiceDefinition].flatMap(
  ({ fullName, methods }) => Object.values(methods).map(({ name }) => `/${fullName}/${name}`),
);
const isForwarded = (path: string) => {
  try {
    readonlyVerdict(path, strict);
    return true;
  } catch {
    return false;
  }
};

test('every CRI method has its verdict, and a new one is refused until somebody decides', () => {
  expect(methods.filter((path) => !isForwarded(path)).map((path) => path.split('/')[2])).toEqual(
    expect.arrayContaining(['RunPodSandbox', 'ExecSync', 'Exec', 'Attach', 'PortForward']),
  );
  expect(methods.filter(isForwarded).map((path) => path.replace('/runtime.v1.', ''))).toEqual([
    'RuntimeService/Version',
    'RuntimeService/PodSandboxStatus',
    'RuntimeService/ListPodSandbox',
    'RuntimeService/StreamPodSandboxes',
    'RuntimeService/ListContainers',
    'RuntimeService/StreamContainers',
    'RuntimeService/ContainerStatus',
    'RuntimeService/ContainerStats',
    'RuntimeService/ListContainerStats',
    'RuntimeService/StreamContainerStats',
    'RuntimeService/PodSandboxStats',
    'RuntimeService/ListPodSandboxStats',
    'RuntimeService/StreamPodSandboxStats',
    'RuntimeService/Status',
    'RuntimeService/GetContainerEvents',
    'RuntimeService/ListMetricDescriptors',
    'RuntimeService/ListPodSandboxMetrics',
    'RuntimeService/StreamPodSandboxMetrics',
    'RuntimeService/RuntimeConfig',
    'ImageService/ListImages',
    'ImageService/StreamImages',
    'ImageService/ImageStatus',
    'ImageService/ImageFsInfo',
  ]);
});

test.each([
  '/runtime.v1.RuntimeService/StopContainer',
  '/runtime.v1alpha2.RuntimeService/StopContainer',
  '/runtime.v1.ImageService/PullImage',
  '/runtime.v1.RuntimeService/version',
  '/runtime.v1.RuntimeService/Version/',
  '/runtime.v2.RuntimeService/Version',
  '/grpc.health.v1.Health/Check',
  '/runtime.v1.ImageService/ListContainers',
  '',
])('%s is refused by name', (path) => {
  expect(() => readonlyVerdict(path, strict)).toThrow(
    `${path} is not allowed: this socket is read-only`,
  );
});

test('a long path is cut in the message', () => {
  expect(() => readonlyVerdict('x'.repeat(10_000), strict)).toThrow(
    `${'x'.repeat(200)} is not allowed: this socket is read-only`,
  );
});

const bytes = <T>(
  type: { encode(message: T): { finish(): Uint8Array }; fromPartial(partial: object): T },
  partial: object,
) => type.encode(type.fromPartial(partial)).finish();

describe.each([
  ['RuntimeService/Status', (verbose: boolean) => bytes(StatusRequest, { verbose })],
  [
    'RuntimeService/PodSandboxStatus',
    (verbose: boolean) => bytes(PodSandboxStatusRequest, { podSandboxId: 'a', verbose }),
  ],
  [
    'RuntimeService/ContainerStatus',
    (verbose: boolean) => bytes(ContainerStatusRequest, { containerId: 'a', verbose }),
  ],
  [
    'ImageService/ImageStatus',
    (verbose: boolean) => bytes(ImageStatusRequest, { image: { image: 'a' }, verbose }),
  ],
])('%s', (name, request) => {
  const path = `/runtime.v1.${name}`;
  const verbose = request(true).subarray(request(false).length);

  it('passes without verbose, and with it only where configured', () => {
    const check = readonlyVerdict(path, strict);
    expect(check(request(false), call)).toEqual(request(false));
    expect(() => check(request(true), call)).toThrow(
      `${path} with verbose is not allowed: this socket is read-only and readonlyVerbose is off`,
    );
    const open = readonlyVerdict(path, { ...strict, verboseAllowed: true });
    expect(open(request(true), call)).toEqual(request(true));
  });

  it('takes the last of several values, as the runtime does', () => {
    const check = readonlyVerdict(path, strict);
    expect(() => check(Buffer.concat([request(false), request(true)]), call)).toThrow(
      /with verbose/,
    );
    const off = Buffer.from([verbose[0] ?? 0, 0]);
    expect(check(Buffer.concat([request(true), off]), call)).toEqual(request(false));
  });

  it.each([
    ['a tag above 32 bits', [0x80, 0x80, 0x80, 0x80, 0x10, 0x00]],
    ['field number 0', [0x00, 0x00]],
    ['the end of a group', [0x0c]],
    ['a group', [0x7b, 0x7c]],
  ])('refuses verbose behind %s', (_what, before) => {
    for (const verboseAllowed of [false, true]) {
      const check = readonlyVerdict(path, { ...strict, verboseAllowed });
      expect(() => check(Buffer.concat([Buffer.from(before), request(true)]), call)).toThrow(
        expect.objectContaining({ grpcStatus: 'INVALID_ARGUMENT' }) as Error,
      );
    }
  });

  it('sends on no field that is not known here', () => {
    const check = readonlyVerdict(path, strict);
    const unknown = Buffer.from([0xfa, 0xff, 0xff, 0xff, 0x0f, 0x02, 0x08, 0x01]);
    expect(check(Buffer.concat([unknown, request(false), unknown]), call)).toEqual(request(false));
  });

  it('is the same call in v1alpha2', () => {
    const check = readonlyVerdict(path.replace('.v1.', '.v1alpha2.'), strict);
    expect(check(request(false), call)).toEqual(request(false));
    expect(() => check(request(true), call)).toThrow(/with verbose/);
  });
});

test('every request of the interface that is let through is read field by field, all fields of it', () => {
  for (const { fullName, methods } of [RuntimeServiceDefinition, ImageServiceDefinition]) {
    for (const method of Object.values(methods)) {
      const { name, requestType } = method as { name: string; requestType: MessageFns<object> };
      const path = `/${fullName}/${name}`;
      if (!isForwarded(path)) continue;
      const full = requestType.encode(everyFieldSet(name)).finish();
      const check = readonlyVerdict(path, { ...strict, verboseAllowed: true, events: 'always' });
      expect([path, check(full, call)]).toEqual([path, full]);
    }
  }
});

const image = {
  image: 'a',
  annotations: { b: 'c' },
  userSpecifiedImage: 'd',
  runtimeHandler: 'e',
  imageRef: 'f',
};
const labels = { labelSelector: { x: 'y', z: '' } };
const pods = { filter: { id: 'a', state: { state: 1 }, ...labels } };
const podStats = { filter: { id: 'a', ...labels } };
const containers = { filter: { ...pods.filter, podSandboxId: 'b' } };
const containerStats = { filter: { id: 'a', podSandboxId: 'b', ...labels } };

/** A request with a value in each field. */
function everyFieldSet(method: string): object {
  const requests: Record<string, object> = {
    Version: { version: 'a' },
    Status: { verbose: true },
    PodSandboxStatus: { podSandboxId: 'a', verbose: true },
    ListPodSandbox: pods,
    StreamPodSandboxes: pods,
    ContainerStatus: { containerId: 'a', verbose: true },
    ListContainers: containers,
    StreamContainers: containers,
    ContainerStats: { containerId: 'a' },
    ListContainerStats: containerStats,
    StreamContainerStats: containerStats,
    PodSandboxStats: { podSandboxId: 'a' },
    ListPodSandboxStats: podStats,
    StreamPodSandboxStats: podStats,
    ListImages: { filter: { image } },
    StreamImages: { filter: { image } },
    ImageStatus: { image, verbose: true },
  };
  return requests[method] ?? {};
}

describe('GetContainerEvents', () => {
  const path = '/runtime.v1.RuntimeService/GetContainerEvents';
  const of = (runtimeName: string, runtimeVersion: string): ReadonlyRules => ({
    ...strict,
    identify: () => Promise.resolve({ runtimeName, runtimeVersion }),
  });
  const ask = async (rules: ReadonlyRules) => readonlyVerdict(path, rules)(new Uint8Array(), call);

  it.each([
    ['containerd', '1.7.27'],
    ['containerd', 'v1.6.20'],
    ['cri-o', '1.27.1'],
  ])('is refused on %s %s, where readers share one queue', async (name, version) => {
    await expect(ask(of(name, version))).rejects.toMatchObject({
      grpcStatus: 'PERMISSION_DENIED',
      message: `${path} is not allowed: ${name} ${version} gives each event to one reader only, so that kubelet would miss those that are read here; readonlyEvents: always allows it`,
    });
    await expect(ask({ ...of(name, version), events: 'always' })).resolves.toEqual(
      new Uint8Array(),
    );
  });

  it.each([
    ['containerd', 'v2.0.0'],
    ['cri-o', '1.28.0'],
    ['another', '0.1'],
  ])('is let through on %s %s, where each reader gets every event', async (name, version) => {
    await expect(ask(of(name, version))).resolves.toEqual(new Uint8Array());
  });

  it('fails as the question for the version does', async () => {
    const gone = new Error('gone');
    await expect(ask({ ...strict, identify: () => Promise.reject(gone) })).rejects.toBe(gone);
  });
});
