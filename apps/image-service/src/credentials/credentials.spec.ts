import { anonymous, chooseCredentials, requestCredential, withoutSecrets } from './credentials';
import type { PullCredential } from './credentials';

const hash = () => 'h';
const { signal } = new AbortController();
const node = (credentials: PullCredential[]) => ({
  asked: [] as string[],
  forRepository(repository: string) {
    this.asked.push(repository);
    return Promise.resolve(credentials);
  },
});

describe('credential of a request', () => {
  it.each([
    ['no auth object', undefined],
    ['an empty one', {}],
    ['one with empty fields', { username: '', password: '' }],
    ['a server address alone', { serverAddress: 'reg.io' }],
  ])('is none for %s', (_what, auth) => expect(requestCredential(auth, hash)).toBeUndefined());

  it('carries all fields of CRI that hold something', () => {
    const auth = {
      username: 'u',
      password: 'p',
      auth: 'dTpw',
      serverAddress: 'reg.io',
      identityToken: 'i',
      registryToken: 'r',
    };
    expect(requestCredential(auth, hash)).toEqual({
      label: { source: 'request', hash: 'h' },
      auth,
      owner: {
        secret: { uid: 'h', namespace: 'stowage.io', name: 'request', credentialHash: 'h' },
      },
    });
    expect(requestCredential({ ...auth, username: '', registryToken: '' }, hash)?.auth).toEqual({
      password: 'p',
      auth: 'dTpw',
      serverAddress: 'reg.io',
      identityToken: 'i',
    });
  });
});

describe('credentials of a pull', () => {
  const own: PullCredential = { label: { source: 'request' }, auth: { username: 'u' } };
  const file = (name: string): PullCredential => ({ label: { source: 'docker-config', name } });

  it("are the request's alone, and nobody else is asked", async () => {
    const source = node([file('a')]);
    expect(await chooseCredentials('r', own, source).list({ signal })).toEqual([own]);
    expect(source.asked).toEqual([]);
  });

  it("are the node's in its order, without anonymous after them", async () => {
    const source = node([file('a'), file('b')]);
    expect(
      await chooseCredentials('docker.io/library/nginx', undefined, source).list({ signal }),
    ).toEqual([file('a'), file('b')]);
    expect(source.asked).toEqual(['docker.io/library/nginx']);
  });

  it('are the anonymous one when there is none', async () => {
    expect(await chooseCredentials('r', undefined, node([])).list({ signal })).toEqual([anonymous]);
  });

  it('are looked up once, however often they are asked for', async () => {
    const source = node([file('a')]);
    const choice = chooseCredentials('r', undefined, source);
    expect(await choice.list({ signal })).toBe(await choice.list({ signal }));
    expect(source.asked).toEqual(['r']);
  });

  it('leave nothing of theirs in a message', () => {
    const credential: PullCredential = {
      label: { source: 'request' },
      auth: { username: 'user', password: 'long-password', identityToken: 'id-token' },
    };
    const basic = Buffer.from('user:long-password').toString('base64');
    expect(withoutSecrets(`long-password ${basic} id-token for user`, credential)).toBe(
      '[redacted] [redacted] [redacted] for user',
    );
    expect(withoutSecrets('no basic auth credentials', anonymous)).toBe(
      'no basic auth credentials',
    );
  });
});
