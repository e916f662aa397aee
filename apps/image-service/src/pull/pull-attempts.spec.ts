import { CriError } from '@stowage/cri-client';
import { CancelledError, RuntimeUnavailableError } from '@stowage/errors';
import type { PullCredential } from '../credentials/credentials';
import { ImagePullError, pullWithCredentials } from './pull-attempts';

const signal = new AbortController().signal;
const credential = (name: string): PullCredential => ({
  label: { source: 'docker-config', name, hash: name.repeat(64).slice(0, 64) },
  auth: { username: 'u', password: `${name}-hunter2` },
});
const says = (message: string, grpcStatus = 'UNKNOWN') =>
  Object.assign(new Error(message), { grpcStatus });

async function attempt(outcomes: (string | Error)[], names = ['a', 'b', 'c']) {
  const asked: (string | undefined)[] = [];
  const attempts: string[] = [];
  const credentials = names.slice(0, outcomes.length).map(credential);
  const result = pullWithCredentials(
    'reg.io/app:1',
    credentials as [PullCredential, ...PullCredential[]],
    (auth) => {
      asked.push(auth?.password);
      const outcome = outcomes[asked.length - 1];
      return typeof outcome === 'string' ? Promise.resolve(outcome) : Promise.reject(outcome!);
    },
    { signal, onAttempt: ({ name }, outcome) => attempts.push(`${name ?? ''} ${outcome}`) },
  );
  const settled = await result.catch((error: unknown) => error);
  return { asked, attempts, settled };
}

describe('attempts', () => {
  it('end with the first credential that works', async () => {
    const { asked, attempts, settled } = await attempt([says('401 Unauthorized'), 'ref', 'never']);
    expect(asked).toEqual(['a-hunter2', 'b-hunter2']);
    expect(attempts).toEqual(['a unauthorized', 'b success']);
    expect(settled).toMatchObject({
      response: 'ref',
      credential: { label: { name: 'b' } },
      failed: [{ credential: { name: 'a' }, errorClass: 'unauthorized' }],
    });
  });

  it('end with a reference that the runtime cannot read: no credential helps', async () => {
    const refusal = 'failed to parse image reference "reg.io/app:1": invalid reference format';
    const { asked, attempts, settled } = await attempt([says(refusal), 'never']);
    expect(asked).toHaveLength(1);
    expect(attempts).toEqual(['a invalid-reference']);
    expect(settled).toMatchObject({ grpcStatus: 'INVALID_ARGUMENT', retryable: false });
  });

  it.each<[string, (string | Error)[], string, string]>([
    [
      'one: its own text',
      [says('RegistryUnavailable: x')],
      'RegistryUnavailable: x [tried: docker-config a (hash aaaaaaaaaaaa): registry-unavailable]',
      'UNKNOWN',
    ],
    [
      'several with one text: once',
      [says('denied: no'), says('denied: no')],
      'denied: no [tried: docker-config a (hash aaaaaaaaaaaa): unauthorized; docker-config b (hash bbbbbbbbbbbb): unauthorized]',
      'UNKNOWN',
    ],
    [
      'several: in brackets as kubelet joins them, with the status of the last',
      [says('denied: no'), says('x: not found', 'NOT_FOUND')],
      '[denied: no, x: not found] [tried: docker-config a (hash aaaaaaaaaaaa): unauthorized; docker-config b (hash bbbbbbbbbbbb): not-found]',
      'NOT_FOUND',
    ],
  ])('say when none works: %s', async (_what, outcomes, message, grpcStatus) => {
    const { settled } = await attempt(outcomes);
    expect(settled).toBeInstanceOf(ImagePullError);
    expect(settled).toMatchObject({ message, grpcStatus, code: 'IMAGE_PULL_FAILED' });
  });

  it('reveal nothing of the credential, even when the runtime does', async () => {
    const { settled } = await attempt([says('GET https://u:a-hunter2@reg.io: 401 Unauthorized')]);
    expect((settled as Error).message).toContain('GET https://u:[redacted]@reg.io');
    expect(JSON.stringify(settled)).not.toContain('hunter2');
    expect((settled as Error).cause).toBeUndefined();
  });

  it.each([
    ['rate-limited', '429 Too Many Requests', true],
    ['unauthorized', '401 Unauthorized', false],
  ])('are retryable or not by the class: %s', async (_class, text, retryable) => {
    expect((await attempt([says(text)])).settled).toMatchObject({ retryable });
  });

  it('end when the runtime is away, with its own error', async () => {
    const away = new RuntimeUnavailableError('unix:///c', new Date(0), 'lost');
    const { asked, settled } = await attempt([says('401 Unauthorized'), away, 'never']);
    expect(asked).toHaveLength(2);
    expect(settled).toBe(away);
  });

  it('end when the runtime cancels the pull itself, and say so', async () => {
    const { asked, settled } = await attempt([says('context canceled', 'CANCELLED'), 'never']);
    expect(asked).toHaveLength(1);
    expect(settled).toMatchObject({ errorClass: 'cancelled', grpcStatus: 'CANCELLED' });
  });

  it('end when the caller gives up, with the reason', async () => {
    const abort = new AbortController();
    const reason = new CancelledError('pull');
    const pulling = pullWithCredentials(
      'reg.io/app:1',
      [credential('a'), credential('b')],
      () => {
        abort.abort(reason);
        return Promise.reject(reason);
      },
      { signal: abort.signal },
    );
    await expect(pulling).rejects.toBe(reason);
  });

  it('reveal nothing of the credential either when the caller gives up just as the runtime answers', async () => {
    const abort = new AbortController();
    const asked: unknown[] = [];
    const pulling = pullWithCredentials(
      'reg.io/app:1',
      [credential('a'), credential('b')],
      (auth) => {
        asked.push(auth);
        abort.abort();
        return Promise.reject(new CriError('PullImage', 'UNAVAILABLE', 'got a-hunter2'));
      },
      { signal: abort.signal },
    );
    await expect(pulling).rejects.toThrow('got [redacted]');
    expect(asked).toHaveLength(1);
  });
});
