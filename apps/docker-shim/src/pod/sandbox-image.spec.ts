import type { PullImageRequest } from '@stowage/cri-proto';
import { createCredential, type Credential } from '@stowage/registry-auth';
import { SandboxImage } from './sandbox-image';

const source = { kind: 'request' } as const;
const credentials = ['wrong', 'right'].map((password) =>
  createCredential({ username: 'node', password }, source),
);
const turns = () => new Promise((resolve) => setImmediate(resolve));

describe('SandboxImage', () => {
  let asked: string[];
  let lookups: string[];
  const make = (
    pull: (password: string, signal: AbortSignal) => Promise<unknown>,
    known: readonly Credential[] = credentials,
    reference = 'reg.example/team/pause:3.10',
  ) =>
    new SandboxImage(
      reference,
      {
        pull: async (
          { image, auth }: Pick<PullImageRequest, 'image' | 'auth'>,
          { signal }: { signal: AbortSignal },
        ) => {
          expect(image?.image).toBe(reference);
          asked.push(auth?.password ?? 'none');
          await pull(auth?.password ?? 'none', signal);
          return 'sha256:feed';
        },
      },
      {
        lookup: (repository) => {
          lookups.push(repository);
          return Promise.resolve(known);
        },
      },
    );
  const only = (right: string) => (password: string) =>
    password === right
      ? Promise.resolve()
      : Promise.reject(new Error(`refused: ${password === 'none' ? 'anonymous' : 'credential'}`));
  const { signal } = new AbortController();
  beforeEach(() => {
    asked = [];
    lookups = [];
  });

  it.each([
    ['reg.example/team/pause:3.10', 'reg.example/team/pause:3.10'],
    [`reg.example/pause:3@sha256:${'a'.repeat(64)}`, `reg.example/pause@sha256:${'a'.repeat(64)}`],
  ])('%s is %s for the engine', (reference, name) => {
    expect(make(only('none'), [], reference).name).toBe(name);
  });

  // D08
  it.each([
    ['right', ['wrong', 'right']],
    ['none', ['wrong', 'right', 'none']],
  ])('tries credentials in their order, then none: %s', async (right, expected) => {
    await make(only(right)).pull({ signal });
    expect([asked, lookups]).toEqual([expected, ['reg.example/team/pause']]);
  });

  it('fails with what the last credential met, or the pull without any', async () => {
    await expect(make(only('x')).pull({ signal })).rejects.toThrow('refused: credential');
    await expect(make(only('x'), []).pull({ signal })).rejects.toThrow('refused: anonymous');
  });

  it('is pulled once for those who ask at the same time, and ends with the last who waits', async () => {
    const ends: AbortSignal[] = [];
    const image = make((_password, ended) => {
      ends.push(ended);
      return new Promise((_resolve, reject) =>
        ended.addEventListener('abort', () => reject(ended.reason as Error)),
      );
    }, []);
    const [first, second] = [new AbortController(), new AbortController()];
    const pulls = [image.pull(first), image.pull(second)];
    await turns();
    first.abort(new Error('given up'));
    await expect(pulls[0]).rejects.toThrow('given up');
    expect([asked, ends[0]?.aborted]).toEqual([['none'], false]);
    second.abort(new Error('given up, too'));
    await expect(pulls[1]).rejects.toThrow('given up, too');
    expect(ends[0]?.aborted).toBe(true);
    void image.pull(new AbortController()).catch(() => undefined);
    await turns();
    expect(asked).toEqual(['none', 'none']);
    await expect(image.pull(first)).rejects.toThrow('given up');
  });
});
