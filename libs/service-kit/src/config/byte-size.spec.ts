import { formatByteSize, parseByteSize } from './byte-size';
import { parseListenAddress, parseSocketPath } from './listen-address';

describe('parseByteSize', () => {
  it.each([
    ['0', 0],
    ['1048576', 1_048_576],
    ['500M', 500_000_000],
    ['500MB', 500_000_000],
    ['1Gi', 2 ** 30],
    ['1.5GiB', 1.5 * 2 ** 30],
  ])('reads %s', (text, bytes) => expect(parseByteSize(text)).toBe(bytes));

  it.each(['', 'Gi', '1 Gi', '-1', '1gi', '1e6'])('refuses %j', (text) =>
    expect(parseByteSize(text)).toBeUndefined(),
  );

  it.each([
    [0, '0'],
    [1000, '1000'],
    [1024, '1Ki'],
    [256 * 2 ** 20, '256Mi'],
    [2 ** 40, '1Ti'],
  ])('writes %d as %s', (bytes, text) => expect(formatByteSize(bytes)).toBe(text));
});

describe('parseListenAddress', () => {
  it.each([
    ['127.0.0.1:9470', { kind: 'tcp', host: '127.0.0.1', port: 9470 }],
    [':9471', { kind: 'tcp', host: '::', port: 9471 }],
    ['[::1]:0', { kind: 'tcp', host: '::1', port: 0 }],
    ['localhost:80', { kind: 'tcp', host: 'localhost', port: 80 }],
    ['unix:///run/a.sock', { kind: 'unix', path: '/run/a.sock' }],
    ['/run/a.sock', { kind: 'unix', path: '/run/a.sock' }],
  ])('reads %s', (text, address) => expect(parseListenAddress(text)).toEqual(address));

  it.each(['', '9471', 'a', 'a:b', '::1:80', ':65536', 'unix://run/a', '/', 'http://a:1'])(
    'refuses %j',
    (text) => expect(parseListenAddress(text)).toBeUndefined(),
  );

  it('counts bytes, not characters, of a socket path', () => {
    expect(parseSocketPath(`/${'é'.repeat(53)}`)).toBeDefined();
    expect(parseSocketPath(`/${'é'.repeat(54)}`)).toBeUndefined();
  });
});
