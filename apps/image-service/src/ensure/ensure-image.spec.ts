import { inspect } from 'node:util';
import { PullImageResponse } from '@stowage/cri-proto';
import {
  EnsureImage,
  type BackedOffPull,
  type EnsureRequest,
  type PresentImage,
} from './ensure-image';
import { PullImage } from '../pull/pull-image';
import type { FinishedPull } from '../pull/pull';
import { FakeRuntime } from '../testing/fake-runtime';

const signal = new AbortController().signal;

function harness({ isHub = true } = {}) {
  const runtime = new FakeRuntime();
  const present: PresentImage[] = [];
  const ended: string[] = [];
  const notes: string[] = [];
  const backedOff: BackedOffPull[] = [];
  const clock = { ms: 0, setByMs: 0 };
  const holds: (Date | undefined)[] = [];
  const node = { forRepository: () => Promise.resolve([]) };
  const puller = new PullImage({
    runtime,
    node,
    hashOf: () => 'h',
    listener: { started: ({ holdUntil }) => holds.push(holdUntil) },
  });
  const ensurer = new EnsureImage({
    runtime,
    puller,
    node,
    hashOf: () => 'h',
    listener: {
      present: (image) => present.push(image),
      ended: ({ pullPolicy, result }) => ended.push(`${pullPolicy} ${result}`),
      noted: ({ reason, message }) => notes.push(`${reason}: ${message}`),
      backedOff: (pull) => backedOff.push(pull),
    },
    now: () => clock.ms + clock.setByMs,
    elapsedMs: () => clock.ms,
    shortNames: { isHub: () => Promise.resolve(isHub) },
  });
  const ensure = (request: EnsureRequest) => ensurer.ensure(request, { signal });
  return { runtime, present, ended, notes, backedOff, clock, holds, ensure };
}

describe('EnsureImage', () => {
  it('takes an image that is there, reports its use and the hold', async () => {
    const { runtime, present, ended, ensure } = harness();
    runtime.add({ id: 'sha256:1', repoTags: ['reg.io/app:1'], size: 7n });
    expect(await ensure({ image: 'reg.io/app:1', holdSeconds: 60 })).toEqual({
      imageRef: 'sha256:1',
      imageId: 'sha256:1',
      pulled: false,
      bytes: 7,
      durationMs: expect.any(Number) as number,
    });
    expect(present).toMatchObject([
      { reference: 'reg.io/app:1', pullPolicy: 'IfNotPresent', holdUntil: new Date(60_000) },
    ]);
    expect(ended).toEqual(['IfNotPresent present']);
    expect(runtime.pulls).toHaveLength(0);
  });

  it.each([
    [0, '0s'],
    [250, '250ms'],
    [60_000, '1m0s'],
    [3_600_500.7, '1h0m0.5s'],
  ])('says how long a pull of %d ms took as Go prints it', async (durationMs, text) => {
    const notes: string[] = [];
    const response = PullImageResponse.fromPartial({ imageRef: 'sha256:1' });
    const pulled: FinishedPull = {
      response,
      durationMs,
      waitedMs: 0,
      endedAt: new Date(0),
      attempts: 1,
      credential: { source: 'none' },
      image: Promise.resolve(undefined),
    };
    const ensurer = new EnsureImage({
      runtime: new FakeRuntime(),
      puller: { pull: () => Promise.resolve({ value: pulled, joined: false }) },
      node: { forRepository: () => Promise.resolve([]) },
      hashOf: () => 'h',
      listener: { noted: ({ message }) => notes.push(message) },
    });
    await ensurer.ensure({ image: 'reg.io/app:1' }, { signal });
    expect(notes.at(-1)).toContain(`Successfully pulled image "reg.io/app:1" in ${text} (`);
  });

  it.each([
    ['1a'.repeat(32), '1a'.repeat(32)],
    [`sha256:${'1a'.repeat(32)}`, `sha256:${'1a'.repeat(32)}`],
  ])(
    'takes an image by its id as CRI-O writes it or not, which is then its reference: %s',
    async (id, given) => {
      const { runtime, present, ensure } = harness({ isHub: false });
      runtime.add({ id, repoDigests: [`reg.io/app@sha256:${'d'.repeat(64)}`], size: 7n });
      expect(await ensure({ image: given })).toMatchObject({ imageId: id, pulled: false });
      expect(present).toMatchObject([
        { requestedReference: given, reference: `sha256:${'1a'.repeat(32)}` },
      ]);
    },
  );

  it.each([true, false])('pulls no id without sha256:, in kubelet’s words', async (isHub) => {
    const { runtime, ensure } = harness({ isHub });
    const id = '1a'.repeat(32);
    for (const pullPolicy of ['IfNotPresent', 'Always'] as const) {
      await expect(ensure({ image: id, pullPolicy })).rejects.toMatchObject({
        reason: 'InvalidImageName',
        grpcStatus: 'INVALID_ARGUMENT',
        message: `Failed to apply default image tag "${id}": couldn't parse image name "${id}": invalid repository name (${id}), cannot specify 64-byte hexadecimal strings`,
      });
    }
    await expect(ensure({ image: id, pullPolicy: 'Never' })).rejects.toMatchObject({
      reason: isHub ? 'InvalidImageName' : 'ErrImageNeverPull',
    });
    expect(runtime.pulls).toEqual([]);
  });

  it('says INVALID_ARGUMENT when the runtime cannot read the reference', async () => {
    const { runtime, ensure } = harness();
    const refusal = 'failed to parse image reference "[::1]:1/x:1": invalid reference format';
    runtime.statusError = new Error(refusal);
    await expect(ensure({ image: '[::1]:1/x:1' })).rejects.toMatchObject({
      reason: 'ImageInspectError',
      grpcStatus: 'INVALID_ARGUMENT',
    });
    runtime.statusError = undefined;
    runtime.onPull = ({ fail }) => fail(new Error(refusal));
    await expect(ensure({ image: '[::1]:1/x:1' })).rejects.toMatchObject({
      reason: 'ErrImagePull',
      grpcStatus: 'INVALID_ARGUMENT',
      retryable: false,
    });
  });

  it('repeats no user information, in errors and notes', async () => {
    const { notes, ensure } = harness();
    const error: unknown = await ensure({ image: 'https://user:hunter2@host/x' }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ reason: 'InvalidImageName', grpcStatus: 'INVALID_ARGUMENT' });
    expect(notes).toHaveLength(1);
    const texts = [...notes, inspect(error, { depth: 9, showHidden: true })].join('\n');
    expect(texts).toContain('https://[redacted]@host/x');
    expect(texts).not.toMatch(/hunter2|user:/);
  });

  it('pulls what is absent, with the default tag and the hold in the events', async () => {
    const { runtime, present, ended, holds, ensure } = harness();
    runtime.onPull = ({ succeed }) => {
      runtime.add({ id: 'sha256:2', size: 9n });
      succeed('sha256:2');
    };
    expect(await ensure({ image: 'nginx', holdSeconds: 5 })).toMatchObject({
      imageRef: 'sha256:2',
      pulled: true,
      bytes: 9,
    });
    expect(runtime.pulls[0]?.request.image?.image).toBe('nginx:latest');
    expect(holds).toEqual([new Date(5000)]);
    expect(present).toEqual([]);
    expect(ended).toEqual(['Always pulled']);
  });

  it('pulls a present image with Always, without asking for presence', async () => {
    const { runtime, ensure } = harness();
    runtime.add({ id: 'sha256:1', repoTags: ['reg.io/app:1'] });
    runtime.onPull = ({ succeed }) => succeed('sha256:1');
    expect(await ensure({ image: 'reg.io/app:1', pullPolicy: 'Always' })).toMatchObject({
      pulled: true,
    });
  });

  it("refuses an absent image with Never, in kubelet's words", async () => {
    const { runtime, ended, ensure } = harness();
    await expect(ensure({ image: 'reg.io/app:1', pullPolicy: 'Never' })).rejects.toMatchObject({
      grpcStatus: 'FAILED_PRECONDITION',
      message: 'Container image "reg.io/app:1" is not present with pull policy of Never',
    });
    expect(ended).toEqual(['Never refused']);
    expect(runtime.pulls).toHaveLength(0);
  });

  it('reports the hold of a caller that joined the pull of another', async () => {
    const { runtime, present, holds, ensure } = harness();
    const both = [ensure({ image: 'nginx' }), ensure({ image: 'nginx', holdSeconds: 5 })];
    await new Promise((resolve) => setImmediate(resolve));
    runtime.add({ id: 'sha256:2' });
    runtime.pulls[0]?.succeed('sha256:2');
    await Promise.all(both);
    expect(runtime.pulls).toHaveLength(1);
    expect(holds).toEqual([undefined]);
    expect(present).toMatchObject([{ holdUntil: new Date(5000) }]);
  });

  it('does not pull when the runtime cannot say whether the image is there', async () => {
    const { runtime, ended, ensure } = harness();
    runtime.statusError = new Error('busy');
    await expect(ensure({ image: 'reg.io/app:1' })).rejects.toMatchObject({
      reason: 'ImageInspectError',
      message: 'Failed to inspect image "": busy',
    });
    expect(ended).toEqual(['IfNotPresent failed']);
  });

  it('refuses a name that does not parse', async () => {
    await expect(harness().ensure({ image: 'A' })).rejects.toMatchObject({
      code: 'INVALID_IMAGE_NAME',
      grpcStatus: 'INVALID_ARGUMENT',
    });
  });

  describe('after a failed pull', () => {
    const fails = (text: string) => Object.assign(new Error(text), { grpcStatus: 'UNKNOWN' });

    it('refuses the same caller and image until the delay is over, saying what failed', async () => {
      const { runtime, ended, notes, backedOff, clock, ensure } = harness();
      runtime.onPull = ({ fail }) => fail(fails('denied: no'));
      const request = { image: 'reg.io/app:1', caller: 'pod-1' };
      await expect(ensure(request)).rejects.toMatchObject({
        reason: 'ErrImagePull',
        kubeletMessage: 'denied: no',
        message: 'denied: no [tried: no credentials: unauthorized]',
      });
      clock.ms = 9999;
      const refused = {
        reason: 'ImagePullBackOff',
        code: 'IMAGE_PULL_BACK_OFF',
        grpcStatus: 'RESOURCE_EXHAUSTED',
        message: 'Back-off pulling image "reg.io/app:1": ErrImagePull: denied: no',
      };
      await expect(ensure(request)).rejects.toMatchObject(refused);
      expect(runtime.pulls).toHaveLength(1);
      expect(backedOff).toMatchObject([
        { reference: 'reg.io/app:1', retryAfter: new Date(10_000), error: refused },
      ]);
      // Another caller, another image, and the end of the delay.
      for (const other of [{ ...request, caller: 'pod-2' }, { image: 'reg.io/app:2' }]) {
        await expect(ensure(other)).rejects.toMatchObject({ reason: 'ErrImagePull' });
      }
      clock.ms = 10_000;
      await expect(ensure(request)).rejects.toMatchObject({ reason: 'ErrImagePull' });
      expect(ended).toEqual([
        'IfNotPresent failed',
        'IfNotPresent backed-off',
        ...Array.from({ length: 3 }, () => 'IfNotPresent failed'),
      ]);
      expect(notes).toContain('BackOff: Back-off pulling image "reg.io/app:1"');
    });

    it('refuses no longer and no shorter where the clock is set', async () => {
      const { runtime, backedOff, clock, ensure } = harness();
      runtime.onPull = ({ fail }) => fail(fails('denied: no'));
      const request = { image: 'reg.io/app:1' };
      await expect(ensure(request)).rejects.toMatchObject({ reason: 'ErrImagePull' });
      Object.assign(clock, { ms: 4000, setByMs: 86_400_000 });
      await expect(ensure(request)).rejects.toMatchObject({ reason: 'ImagePullBackOff' });
      expect(backedOff).toMatchObject([{ retryAfter: new Date(86_410_000) }]);
      Object.assign(clock, { ms: 10_000, setByMs: -86_400_000 });
      await expect(ensure(request)).rejects.toMatchObject({ reason: 'ErrImagePull' });
    });

    it('counts callers without a name by their credential', async () => {
      const { runtime, ensure } = harness();
      runtime.onPull = ({ fail }) => fail(fails('denied: no'));
      const image = 'reg.io/app:1';
      const auth = { username: 'u', password: 'p' };
      await expect(ensure({ image })).rejects.toMatchObject({ reason: 'ErrImagePull' });
      await expect(ensure({ image, auth })).rejects.toMatchObject({ reason: 'ErrImagePull' });
      await expect(ensure({ image })).rejects.toMatchObject({ reason: 'ImagePullBackOff' });
    });

    it('does not count a runtime that is away, nor a caller that leaves', async () => {
      const { runtime, ensure } = harness();
      runtime.available = false;
      const image = 'reg.io/app:1';
      await expect(ensure({ image })).rejects.toMatchObject({ code: 'RUNTIME_UNAVAILABLE' });
      runtime.available = true;
      runtime.onPull = ({ succeed }) => succeed('sha256:1');
      await ensure({ image });
    });
  });
});
