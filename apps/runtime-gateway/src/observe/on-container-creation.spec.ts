import { CreateContainerRequest } from '@stowage/cri-proto';
import type { DeepPartial } from '@stowage/cri-proto';
import {
  imageId,
  knownSandbox,
  nowMs,
  ObserverFixture,
  pod,
  sandboxConfig,
  sandboxId,
} from '../testing/observer-fixture';

const path = '/runtime.v1.RuntimeService/CreateContainer';
const secret = 'secret-of-the-environment';
const request = (
  config: DeepPartial<CreateContainerRequest['config']> = {},
  more: DeepPartial<CreateContainerRequest> = {},
) =>
  CreateContainerRequest.encode(
    CreateContainerRequest.fromPartial({
      podSandboxId: sandboxId,
      config: {
        metadata: { name: 'main', attempt: 1 },
        image: { image: imageId, userSpecifiedImage: 'team/app:1' },
        envs: [{ key: 'PASSWORD', value: Buffer.from(secret) }],
        args: [secret],
        ...config,
      },
      sandboxConfig,
      ...more,
    }),
  ).finish();
const image = { reference: imageId, imageId, userSpecifiedReference: 'team/app:1' };
const creation = {
  podSandboxId: sandboxId,
  pod,
  name: 'main',
  attempt: 1,
  image,
  observedBy: 'call',
};

test('the request for a container is published at once, without asking the runtime', () => {
  const fixture = new ObserverFixture();
  fixture.calls.requested(path, request());
  expect(fixture.events).toEqual([
    { name: 'ContainerCreationStarted', subject: imageId, data: creation, time: new Date(nowMs) },
  ]);
  expect(fixture.facts.asked).toEqual([]);
  expect(fixture.objects.counts).toEqual({ sandbox: 0, container: 0 });
});

test.each([
  {
    sentence: 'an image by reference, which has no ID yet',
    config: { image: { image: 'registry.example/team/app:1' } },
    data: { image: { reference: 'registry.example/team/app:1' } },
  },
  {
    sentence: 'the images of volumes',
    config: {
      mounts: [
        { containerPath: '/data', hostPath: '/srv' },
        { containerPath: '/models', image: { image: 'registry.example/models:3' } },
      ],
    },
    data: { volumeImages: [{ reference: 'registry.example/models:3' }] },
  },
])('it names $sentence', ({ config, data }) => {
  const fixture = new ObserverFixture();
  fixture.calls.requested(path, request(config));
  expect(fixture.events.map((event) => event.data)).toEqual([{ ...creation, ...data }]);
});

test('the sandbox can be named by the beginning of its id, and knows the pod', () => {
  const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
  fixture.calls.requested(
    path,
    request({}, { podSandboxId: sandboxId.slice(0, 12), sandboxConfig: undefined }),
  );
  expect(fixture.events.map((event) => event.data)).toEqual([creation]);
});

test.each([
  {
    sentence: 'other calls',
    method: '/runtime.v1.RuntimeService/StartContainer',
    bytes: request(),
  },
  { sentence: 'a request without an image', method: path, bytes: request({ image: undefined }) },
  { sentence: 'one without a sandbox', method: path, bytes: request({}, { podSandboxId: '' }) },
  {
    sentence: 'what no image can be called by, which can hold a password',
    method: path,
    bytes: request({ image: { image: `https://user:${secret}@registry.example/app` } }),
  },
])('nothing is published for $sentence', ({ method, bytes }) => {
  const fixture = new ObserverFixture();
  fixture.calls.requested(method, bytes);
  expect(fixture.events).toEqual([]);
  expect(fixture.failures).toEqual([]);
});

test('nothing secret is published', () => {
  const fixture = new ObserverFixture();
  const reference = `https://user:${secret}@registry.example/app`;
  fixture.calls.requested(
    path,
    request({ image: { image: imageId, userSpecifiedImage: reference } }),
  );
  fixture.calls.requested(path, request({ mounts: [{ image: { image: reference } }] }));
  expect(fixture.events).toHaveLength(2);
  expect(JSON.stringify(fixture.events)).not.toContain(secret);
});

test('bytes that are no such message are a failure of the observer alone', () => {
  const fixture = new ObserverFixture();
  fixture.calls.requested(path, Uint8Array.of(0x0a, 0xff));
  expect(fixture.events).toEqual([]);
  expect(fixture.failures).toEqual([expect.stringMatching(/^CreateContainer: /)]);
});
