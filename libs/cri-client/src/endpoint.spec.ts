import fc from 'fast-check';
import { CriOptionsError, parseEndpoint, splitEndpoint } from './endpoint';

/** Beyond the conformance vectors: the corners of Go's URL parser that an endpoint can reach. */
describe('parseEndpoint', () => {
  it.each([
    ['the usual form', 'unix:///run/containerd/containerd.sock', '/run/containerd/containerd.sock'],
    ['query and fragment are dropped', 'unix:///run/x.sock?a=b#c', '/run/x.sock'],
    ['user and host are dropped', 'unix://user:pw@host:1/x.sock', '/x.sock'],
    ['an IPv6 host is dropped', 'unix://[::1]:80/x.sock', '/x.sock'],
    ['an empty query', 'unix:///x.sock?', '/x.sock'],
    ['escapes are UTF-8', 'unix:///gr%C3%BCn.sock', '/grün.sock'],
    ['an escaped host of other bytes', 'unix://%c3%bc/x.sock', '/x.sock'],
    ['a dot is a path like any other', 'unix:///./x.sock', '/./x.sock'],
    ['the first part of a relative path becomes the host', 'run/x.sock', '/x.sock'],
    ['a path of three slashes', '///x.sock', '///x.sock'],
    ['a path of two slashes', '//x.sock', '//x.sock'],
    ['a bare star', '*', ''],
    ['nothing', '', ''],
  ])('%s', (_what, endpoint, address) => {
    expect(parseEndpoint(endpoint).address).toBe(address);
  });

  it.each([
    ['tcp://localhost:9090', 'only support unix socket endpoint'],
    ['npipe://./pipe/x', 'protocol "npipe" not supported'],
    ['HTTP://x/', 'protocol "http" not supported'],
    ['a b c', 'parse "unix://a b c": invalid character " " in host name'],
    ['a\nb', 'parse "unix://a\\nb": net/url: invalid control character in URL'],
    ['unix:///a%zz', 'parse "unix://unix:///a%zz": invalid URL escape "%zz"'],
    ['/a%2', 'parse "unix:///a%2": invalid URL escape "%2"'],
    ['x%41/y', 'parse "unix://x%41/y": invalid URL escape "%41"'],
    ['a:x/y.sock', 'protocol "a" not supported'],
    ['1:x/y.sock', 'parse "unix://1:x/y.sock": invalid port ":x" after host'],
    ['[::1/y.sock', 'parse "unix://[::1/y.sock": missing \']\' in host'],
    ['<@h/y.sock', 'parse "unix://<@h/y.sock": net/url: invalid userinfo'],
    ['unix:///x#%g', 'parse "unix://unix:///x#%g": invalid URL escape "%g"'],
  ])('%j: %s', (endpoint, message) => {
    expect(() => parseEndpoint(endpoint)).toThrow(new CriOptionsError('endpoint', message));
  });

  it('throws nothing but its own error, and a unix URL of plain characters is its path', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (endpoint) => {
        try {
          parseEndpoint(endpoint);
        } catch (error) {
          expect(error).toBeInstanceOf(CriOptionsError);
        }
      }),
    );
    fc.assert(
      fc.property(fc.stringMatching(/^(\/[a-z0-9._-]{1,8}){1,4}$/), (path) => {
        expect(parseEndpoint(`unix://${path}`)).toEqual({ address: path, isBarePath: false });
        expect(parseEndpoint(path)).toEqual({ address: path, isBarePath: true });
        expect(parseEndpoint(`unix://${encodeURI(path)}`).address).toBe(path);
      }),
    );
  });
});

it('splitEndpoint says what Go says about a text that is no URL', () => {
  expect(splitEndpoint('127.0.0.1:1234')).toEqual({
    protocol: '',
    address: '',
    error: 'parse "127.0.0.1:1234": first path segment in URL cannot contain colon',
  });
  expect(splitEndpoint(':x').error).toBe('parse ":x": missing protocol scheme');
  expect(splitEndpoint('tcp://h:1/x')).toEqual({ protocol: 'tcp', address: 'h:1' });
});
