import { inspect } from 'node:util';
import { RemoveImageRequest } from '@stowage/cri-proto';
import type { CommandCall } from '@stowage/service-kit';
import { CommandsController } from '../commands.controller';
import { EnsureImage } from '../ensure/ensure-image';
import { RemoveImage, type RemainingImage, type RemovedImage } from './remove-image';
import { FakeRuntime } from '../testing/fake-runtime';

function harness() {
  const runtime = new FakeRuntime();
  const removed: RemovedImage[] = [];
  const remained: RemainingImage[] = [];
  const unconfirmed: unknown[] = [];
  const failed: string[] = [];
  const remover = new RemoveImage(runtime, {
    removed: (image) => removed.push(image),
    remained: (image) => remained.push(image),
    unconfirmed: (_image, error) => unconfirmed.push(error),
    failed: (image) => failed.push(image),
  });
  const remove = (image: string) =>
    remover.remove(RemoveImageRequest.fromPartial({ image: { image } }), {
      signal: new AbortController().signal,
    });
  return { runtime, removed, remained, unconfirmed, failed, remove };
}

describe('RemoveImage', () => {
  it('removes and reports what the image was', async () => {
    const { runtime, removed, remove } = harness();
    const image = runtime.add({ id: 'sha256:1', repoTags: ['reg.io/app:1'] });
    expect((await remove('reg.io/app:1')).removed).toMatchObject({ image });
    expect(runtime.removed).toEqual(['reg.io/app:1']);
    expect(removed).toMatchObject([{ requestedReference: 'reg.io/app:1', image }]);
  });

  const names = {
    id: '1',
    repoTags: ['reg.io/app:1', 'reg.io/app:2'],
    repoDigests: ['reg.io/app@sha256:a'],
  };

  it('is no removal where the runtime takes away the name alone', async () => {
    const { runtime, removed, remained, remove } = harness();
    runtime.removes = 'name';
    const image = runtime.add(names);
    const { remaining } = await remove('reg.io/app:1');
    expect(remaining).toMatchObject({ image, untagged: ['reg.io/app:1'] });
    expect([removed, remained]).toEqual([[], [remaining]]);
    await remove('reg.io/app:2');
    expect(removed).toEqual([]);
    expect((await remove('reg.io/app@sha256:a')).removed).toMatchObject({
      image: { id: '1', repoDigests: ['reg.io/app@sha256:a'] },
    });
    expect(removed).toHaveLength(1);
  });

  it('is no removal where the runtime says that it removed and did not', async () => {
    const { runtime, removed, remained, remove } = harness();
    runtime.removes = 'nothing';
    runtime.add(names);
    expect((await remove('1')).remaining).toMatchObject({ untagged: [] });
    expect([removed.length, remained.length]).toEqual([0, 1]);
  });

  it('reports what was removed also when the caller has gone meanwhile', async () => {
    const { runtime, removed } = harness();
    runtime.add(names);
    const caller = new AbortController();
    const { imageStatus, removeImage } = runtime;
    runtime.imageStatus = (request, options) => {
      options?.signal?.throwIfAborted();
      return imageStatus(request, options);
    };
    runtime.removeImage = (request, options) => {
      caller.abort();
      return removeImage(request, options);
    };
    const remover = new RemoveImage(runtime, { removed: (image) => removed.push(image) });
    const request = RemoveImageRequest.fromPartial({ image: { image: '1' } });
    await remover.remove(request, { signal: caller.signal });
    expect(removed).toMatchObject([{ image: { id: '1' } }]);
  });

  it.each([
    ['image', { removed: true, imageId: '1' }],
    ['name', { removed: false, imageId: '1', untagged: ['reg.io/app:1'] }],
    ['nothing', { removed: false, imageId: '1', untagged: [] }],
  ] as const)(
    'answers the command by what is left: the runtime removes the %s',
    async (removes, answer) => {
      const { runtime } = harness();
      runtime.removes = removes;
      runtime.add(names);
      const ensure = new EnsureImage({
        runtime,
        puller: { pull: () => Promise.reject(new Error('not asked for')) },
        node: { forRepository: () => Promise.resolve([]) },
        hashOf: () => '',
        listener: {},
      });
      const commands = new CommandsController(
        runtime,
        ensure,
        new RemoveImage(runtime, {}),
        { recent: () => ({ events: [], next: 0, more: false, kept: 0 }) },
        { inProgress: () => [] },
        { progress: () => Promise.resolve(new Map()) },
      );
      const call = { signal: new AbortController().signal, trace: {} } as CommandCall;
      expect(await commands.remove({ image: 'reg.io/app:1' }, call)).toEqual(answer);
      expect(await commands.remove({ image: 'reg.io/gone:1' }, call)).toEqual({ removed: false });
    },
  );

  it('reports neither of both when the runtime does not say what is left', async () => {
    const { runtime, removed, remained, unconfirmed, remove } = harness();
    runtime.add(names);
    const { removeImage } = runtime;
    runtime.removeImage = (request, options) => {
      runtime.statusError = new Error('busy');
      return removeImage(request, options);
    };
    expect(await remove('1')).toEqual({ response: {}, unconfirmed: runtime.statusError });
    expect([removed, remained, unconfirmed]).toEqual([[], [], [runtime.statusError]]);
  });

  it('refuses user information without asking the runtime or repeating it', async () => {
    const { runtime, failed, remove } = harness();
    const error: unknown = await remove('https://user:hunter2@host/x').catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'INVALID_IMAGE_NAME', grpcStatus: 'INVALID_ARGUMENT' });
    expect(inspect(error, { depth: 9 })).not.toMatch(/hunter2|user:/);
    expect([runtime.removed, failed]).toEqual([[], []]);
  });

  it('says INVALID_ARGUMENT when the runtime cannot read the reference', async () => {
    const { runtime, failed, remove } = harness();
    runtime.removeError = new Error('parse "[::1]:1/x": invalid reference format');
    await expect(remove('[::1]:1/x')).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
    expect(failed).toEqual(['[::1]:1/x']);
  });

  it('succeeds for what is not there, and reports nothing', async () => {
    const { runtime, removed, remove } = harness();
    expect(await remove('reg.io/gone:1')).toEqual({ response: {} });
    expect(runtime.removed).toEqual(['reg.io/gone:1']);
    expect(removed).toEqual([]);
  });

  it('asks the runtime to remove also when it cannot say what that is', async () => {
    const { runtime, removed, remove } = harness();
    runtime.statusError = new Error('busy');
    await remove('reg.io/app:1');
    expect(runtime.removed).toEqual(['reg.io/app:1']);
    expect(removed).toEqual([]);
  });

  it('waits until the pulls that were answered have been published', async () => {
    const runtime = new FakeRuntime();
    let published: () => void = () => undefined;
    const pullsPublished = new Promise<void>((resolve) => (published = resolve));
    const remover = new RemoveImage(runtime, {}, () => pullsPublished);
    const request = RemoveImageRequest.fromPartial({ image: { image: 'reg.io/app:1' } });
    const removing = remover.remove(request, { signal: new AbortController().signal });
    await new Promise((resolve) => setImmediate(resolve));
    expect(runtime.removed).toEqual([]);
    published();
    await removing;
    expect(runtime.removed).toEqual(['reg.io/app:1']);
  });

  it("hands on the runtime's refusal", async () => {
    const { runtime, removed, failed, remove } = harness();
    runtime.add({ id: 'sha256:1' });
    runtime.removeError = new Error('in use');
    await expect(remove('sha256:1')).rejects.toThrow('in use');
    expect([removed, failed]).toEqual([[], ['sha256:1']]);
  });
});
