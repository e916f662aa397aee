import { Container } from '@stowage/cri-proto';
import {
  containerId,
  imageId,
  knownSandbox,
  nowMs,
  observedCall,
  ObserverFixture,
  pod,
  sandboxConfig,
  sandboxId,
} from '../testing/observer-fixture';

const secret = 'secret-of-the-environment';
const create = (config: object = {}, request: object = {}) =>
  observedCall(
    'CreateContainer',
    {
      podSandboxId: sandboxId,
      config: {
        metadata: { name: 'main', attempt: 1 },
        image: { image: imageId },
        envs: [{ key: 'PASSWORD', value: Buffer.from(secret) }],
        command: ['/bin/serve', `--password=${secret}`],
        args: [secret],
        ...config,
      },
      sandboxConfig,
      ...request,
    },
    { containerId },
  );
const created = {
  containerId,
  podSandboxId: sandboxId,
  pod,
  name: 'main',
  attempt: 1,
  image: { reference: imageId, imageId },
  observedBy: 'call',
};

test.each([
  { sentence: 'an image by its ID, without asking the runtime', call: create(), image: {} },
  {
    sentence: 'an image by the ID that CRI-O writes',
    call: create({ image: { image: '2b'.repeat(32) } }),
    image: { reference: '2b'.repeat(32), imageId: '2b'.repeat(32) },
  },
  {
    sentence: 'what the user wrote, and the runtime handler of the image',
    call: create({
      image: { image: imageId, userSpecifiedImage: 'team/app:1', runtimeHandler: 'kata' },
    }),
    image: { userSpecifiedReference: 'team/app:1', runtimeHandler: 'kata' },
  },
])('publishes $sentence', async ({ call, image }) => {
  const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
  await fixture.observe(call);
  expect(fixture.events).toEqual([
    {
      name: 'ContainerCreated',
      subject: containerId,
      data: { ...created, image: { ...created.image, ...image } },
      time: new Date(nowMs),
    },
  ]);
  expect(fixture.facts.asked).toEqual([]);
});

describe('an image by reference', () => {
  const byReference = create({ image: { image: 'registry.example/team/app:1' } });
  const reference = 'registry.example/team/app:1';

  test.each([
    {
      sentence: 'has the ID that the runtime lists',
      listed: { imageRef: imageId },
      image: { reference, imageId },
    },
    {
      sentence: 'has the ID of runtimes that give it apart from the reference',
      listed: { imageRef: `team/app@${imageId}`, imageId },
      image: { reference, imageId },
    },
    {
      sentence: 'has no ID where the runtime lists a digested reference only',
      listed: { imageRef: `team/app@${imageId}` },
      image: { reference },
    },
    { sentence: 'has no ID when the container is gone already', image: { reference } },
  ])('$sentence', async ({ listed, image }) => {
    const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
    if (listed !== undefined) {
      fixture.facts.containers.push(Container.fromPartial({ id: containerId, ...listed }));
    }
    await fixture.observe(byReference);
    expect(fixture.events.map(({ data }) => data)).toEqual([{ ...created, image }]);
    expect(fixture.facts.asked).toEqual(['ListContainers cccc']);
  });

  test('is published without its ID when the runtime does not answer', async () => {
    const fixture = new ObserverFixture();
    fixture.facts.failure = new Error('runtime away');
    await fixture.observe(byReference);
    expect(fixture.events.map(({ data }) => data)).toEqual([{ ...created, image: { reference } }]);
    expect(fixture.failures).toEqual(['lookup: runtime away']);
  });
});

test('the pod comes from the request when the sandbox is not known', async () => {
  const fixture = new ObserverFixture();
  await fixture.observe(create());
  expect(fixture.events[0]?.data).toEqual(created);
});

test('the sandbox can be named by the beginning of its id', async () => {
  const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
  await fixture.observe(
    create({}, { podSandboxId: sandboxId.slice(0, 12), sandboxConfig: undefined }),
  );
  expect(fixture.events[0]?.data).toEqual(created);
});

test('nothing of environment, command and arguments is published or kept', async () => {
  const fixture = new ObserverFixture();
  await fixture.observe(create());
  expect(JSON.stringify([fixture.events, fixture.objects.containers()])).not.toContain(secret);
});

test('bytes that are no such message are a failure of the observer, and a listing is asked for', async () => {
  const fixture = new ObserverFixture();
  await fixture.observe({ ...create(), request: Uint8Array.of(0x0a, 0xff) });
  expect(fixture.events).toEqual([]);
  expect(fixture.failures).toEqual([expect.stringMatching(/^CreateContainer: /)]);
  expect(fixture.relistsScheduled).toBe(1);
});

test('a call whose messages could not be read along is a failure of the observer', async () => {
  const fixture = new ObserverFixture();
  await fixture.observe({ ...create(), request: undefined });
  expect(fixture.failures).toEqual([
    'CreateContainer: messages of CreateContainer could not be read along',
  ]);
  expect(fixture.relistsScheduled).toBe(1);
});
