import { inspect } from 'node:util';
import { RemoveImageRequest } from '@stowage/cri-proto';
import { RemoveImage } from './remove-image';
import type { RemovedImage } from './remove-image';
import { FakeRuntime } from './testing/fake-runtime';

function harness() {
  const runtime = new FakeRuntime();
  const removed: RemovedImage[] = [];
  const failed: string[] = [];
  const remover = new RemoveImage(runtime, {
    removed: (image) => removed.push(image),
    failed: (image) => failed.push(image),
  });
  const remove = (image: string) =>
    remover.remove(RemoveImageRequest.fromPartial({ image: { image } }), {
      signal: new AbortController().signal,
    });
  return { runtime, removed, failed, remove };
}

describe('RemoveImage', () => {
  it('removes and tells what the image was', async () => {
    const { runtime, removed, remove } = harness();
    const image = runtime.add({ id: 'sha256:1', repoTags: ['reg.io/app:1'] });
    expect((await remove('reg.io/app:1')).removed).toMatchObject({ image });
    expect(runtime.removed).toEqual(['reg.io/app:1']);
    expect(removed).toMatchObject([{ requestedReference: 'reg.io/app:1', image }]);
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

  it('succeeds for what is not there, and tells nothing', async () => {
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

  it('waits until the pulls that were answered have been told', async () => {
    const runtime = new FakeRuntime();
    let told: () => void = () => undefined;
    const pullsTold = new Promise<void>((resolve) => (told = resolve));
    const remover = new RemoveImage(runtime, {}, () => pullsTold);
    const request = RemoveImageRequest.fromPartial({ image: { image: 'reg.io/app:1' } });
    const removing = remover.remove(request, { signal: new AbortController().signal });
    await new Promise((resolve) => setImmediate(resolve));
    expect(runtime.removed).toEqual([]);
    told();
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
