import {
  ContainerStatusRequest,
  ImageServiceDefinition,
  ImageStatusRequest,
  PodSandboxStatusRequest,
  RuntimeServiceDefinition,
  StatusRequest,
} from '@stowage/cri-proto';
import { readonlyVerdict } from './readonly-verdict';

const strict = { verboseAllowed: false };
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

test('v1alpha2 calls are the same calls', () => {
  expect(
    readonlyVerdict('/runtime.v1alpha2.RuntimeService/ListContainers', strict),
  ).toBeUndefined();
  expect(readonlyVerdict('/runtime.v1alpha2.RuntimeService/Status', strict)).toBeDefined();
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

  it('passes without verbose, and with it only where configured', () => {
    const check = readonlyVerdict(path, strict);
    expect(() => check?.(request(false))).not.toThrow();
    expect(() => check?.(request(true))).toThrow(
      `${path} with verbose is not allowed: this socket is read-only and readonlyVerbose is off`,
    );
    expect(readonlyVerdict(path, { verboseAllowed: true })).toBeUndefined();
  });

  it('takes the last of several values, as the runtime does', () => {
    const check = readonlyVerdict(path, strict);
    expect(() => check?.(Buffer.concat([request(false), request(true)]))).toThrow(/with verbose/);
  });

  it('refuses what cannot be read', () => {
    const check = readonlyVerdict(path, strict);
    expect(() => check?.(Buffer.from([0x0a, 0x7f]))).toThrow(/a \w+Request message/);
  });
});
