import fc from 'fast-check';
import { createCredential } from './credential';
import { CredentialIndex, RegistryIndex } from './credential-index';
import { registryMatches } from './match-registry';
import { parseSchemeless } from './registry-url';

describe('parsing a registry key', () => {
  it.each<[string, { host: string; path: string } | undefined]>([
    ['', { host: '', path: '' }],
    ['reg.io/a?b#c', { host: 'reg.io', path: '/a' }],
    ['user:pass@reg.io', { host: 'reg.io', path: '' }],
    ['reg.io:', { host: 'reg.io:', path: '' }],
    ['[::1]:5000/a', { host: '[::1]:5000', path: '/a' }],
    ['[fe80::1%25eth0]:5000', { host: '[fe80::1%eth0]:5000', path: '' }],
    ['reg.io/a%2Fb%20c', { host: 'reg.io', path: '/a/b c' }],
    ['x:*', undefined],
    ['reg io', undefined],
    ['reg.io\n', undefined],
    ['reg.io/%zz', undefined],
    ['reg.io#%zz', undefined],
    ['us er@reg.io', undefined],
    ['reg%2eio', undefined],
    ['g[c]r.io', undefined],
    ['gcr].io', undefined],
    ['[::1', undefined],
    ['[::1]x', undefined],
  ])('%s', (text, url) => {
    expect(parseSchemeless(text)).toEqual(url);
  });
});

describe('matching', () => {
  it.each([
    ['[::1]:5000', '[::1]:5000/x', true],
    ['a:b:5000', 'a:b:5000/x', true],
    ['reg:', 'reg/x', true],
    ['reg.io/pong', 'reg.io/pongz', true],
    ['reg.io/a%2fb', 'reg.io/a/b/c', true],
    ['REG.io', 'reg.io/x', false],
    ['*.*.io', 'reg.io/x', false],
    ['*', 'localhost/x', true],
  ])('%s against %s: %s', (pattern, target, matches) => {
    expect(registryMatches(pattern, target)).toBe(matches);
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        registryMatches(a, b);
        const index = new RegistryIndex<number>();
        index.add(a, 1);
        index.lookup(b);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('the order of an index', () => {
  const source = { kind: 'docker-config', path: '/c' } as const;
  const entry = (username: string) => ({
    username,
    password: '',
    email: '',
    identityToken: '',
    registryToken: '',
  });
  const names = (keys: string[], image: string): string[] => {
    const index = new CredentialIndex();
    for (const key of keys) index.add(source, new Map([[key, entry(key)]]));
    return index.lookup(image).map(({ auth }) => auth.username ?? '');
  };

  it.each([
    [
      'the longer path first',
      ['r.io', 'r.io/a', 'r.io/a/b'],
      'r.io/a/b/c',
      ['r.io/a/b', 'r.io/a', 'r.io'],
    ],
    ['a literal label before a star', ['*.r.io', 'a.r.io'], 'a.r.io/x', ['a.r.io', '*.r.io']],
    [
      'one key in the order added',
      ['https://r.io', 'r.io', 'http://r.io/v2/'],
      'r.io/x',
      ['https://r.io', 'r.io', 'http://r.io/v2/'],
    ],
    [
      'bytes, not UTF-16 units',
      ['r.io/\u{1f600}', 'r.io/\uff5e', 'r.io/'],
      'r.io/\u{1f600}',
      ['r.io/\u{1f600}', 'r.io/'],
    ],
    [
      'Docker Hub only when nothing else matched',
      ['index.docker.io', 'docker.io/a'],
      'docker.io/a/b',
      ['docker.io/a'],
    ],
    [
      'Docker Hub as a last resort',
      ['index.docker.io', 'docker.io/a'],
      'docker.io/c/b',
      ['index.docker.io'],
    ],
  ])('%s', (_, keys, image, order) => {
    expect(names(keys, image)).toEqual(order);
  });

  it('names the keys that cannot be parsed and keeps the others', () => {
    const index = new CredentialIndex();
    const refused = index.add(
      source,
      new Map([
        ['r.io:x', entry('a')],
        ['r.io', entry('b')],
      ]),
    );
    expect(refused).toEqual(['r.io:x']);
    expect(index.lookup('r.io/x').map(({ auth }) => auth.username)).toEqual(['b']);
  });

  it('sends an identity token without a user name, unless there is a password too', () => {
    const index = new CredentialIndex();
    const both = { ...entry('u'), identityToken: 't' };
    index.add(
      source,
      new Map([
        ['a.io', both],
        ['b.io', { ...both, password: 'p' }],
      ]),
    );
    expect({ ...index.lookup('a.io/x')[0]!.auth }).toEqual({ identityToken: 't' });
    expect({ ...index.lookup('b.io/x')[0]!.auth }).toEqual({
      username: 'u',
      password: 'p',
      identityToken: 't',
    });
    expect(index.lookup('a.io/x')[0]!.hash).toBe(
      createCredential({ identityToken: 't' }, source).hash,
    );
  });
});
