import { parseNatsServer, splitNatsServers, withoutNatsLogin } from './nats-server';

const secrets = [
  ['a slash', 'pa/ss'],
  ['a comma', 'pa,ss'],
  ['an at sign', 'pa@ss'],
  ['a quote', `pa"s's`],
  ['a blank', 'pa ss'],
  ['a colon', 'pa:ss'],
  ['a percent sign', 'pa%ss%'],
  ['a question mark, a hash, brackets', 'pa?s#s[1]{2}<3>'],
  ['a backslash and a pipe', 'pa\\ss|^`'],
  ['letters of other scripts', 'pässwörd漢'],
  ['a server', 'x@nats://h:1/,tls'],
] as const;

describe('a NATS server', () => {
  it.each<[string, ReturnType<typeof parseNatsServer>]>([
    ['a', { isTls: false, host: 'a', port: 4222 }],
    ['nats://a:1', { isTls: false, host: 'a', port: 1 }],
    ['TLS://a.b-c_d:65535/', { isTls: true, host: 'a.b-c_d', port: 65_535 }],
    ['[::1]:2', { isTls: false, host: '::1', port: 2 }],
    ['nats://t@a', { isTls: false, host: 'a', port: 4222, user: 't' }],
    ['nats://u:p@a', { isTls: false, host: 'a', port: 4222, user: 'u', password: 'p' }],
    ['u%40x:p%2f%25@a', { isTls: false, host: 'a', port: 4222, user: 'u@x', password: 'p/%' }],
    ['u:%zz%ff@a', { isTls: false, host: 'a', port: 4222, user: 'u', password: '%zz%ff' }],
  ])('%s', (text, server) => {
    expect(parseNatsServer(text)).toEqual(server);
  });

  it.each([
    '',
    'nats://',
    'http://a',
    'a b',
    'a:0',
    'a:65536',
    'a:99999',
    'a:x',
    'a:',
    'a:123456',
    '[1:2]',
    '[::1',
    'a/b',
    'nats://u:p@',
    'nats://u:p@a?x',
    'nats://nats://a',
    'nats://:p@a',
  ])('%j is none', (text) => {
    expect(parseNatsServer(text)).toBeUndefined();
  });

  it.each(secrets)('a password with %s is used as it is, and encoded', (_what, password) => {
    const server = { isTls: false, host: 'h', port: 4, user: 'svc', password };
    expect(parseNatsServer(`nats://svc:${encodeURIComponent(password)}@h:4`)).toEqual(server);
    expect(parseNatsServer(`nats://svc:${password}@h:4`)).toEqual(server);
  });
});

describe('a list of NATS servers', () => {
  it.each<[string, string[]]>([
    ['', []],
    ['a', ['a']],
    [' nats://a:1, b:2 ,,', ['nats://a:1', 'b:2']],
    ['nats://u:p@a,nats://v:q@b', ['nats://u:p@a', 'nats://v:q@b']],
    ['u:p@a,v:q@b', ['u:p@a', 'v:q@b']],
    ['nats://u:a,b@h1:1,nats://u:a,b@h2', ['nats://u:a,b@h1:1', 'nats://u:a,b@h2']],
    ['nats://u:x,y,z@h,b', ['nats://u:x,y,z@h', 'b']],
    ['a,nats://u:p@b', ['a', 'nats://u:p@b']],
  ])('%j', (text, servers) => {
    expect(splitNatsServers(text)).toEqual(servers);
  });

  it.each(['nats://u:1,b@h', 'u:1,b@h', 'nats://u,b@h'])(
    '%j could be read in two ways and is refused',
    (text) => {
      expect(splitNatsServers(text).every((server) => parseNatsServer(server))).toBe(false);
    },
  );
});

describe('without its login', () => {
  it.each([
    ['nats://u:p@a:1', 'nats://[redacted]@a:1'],
    ['u@a', '[redacted]@a'],
    ['nats://a:1', 'nats://a:1'],
    ['nats://a:70000', 'nats://a:70000'],
    ['nats://u:p@a,nats://v:q@b', 'nats://[redacted]@b'],
    ['nats://user:hunter2', 'nats://[redacted]'],
    ['user:hunter2/x', '[redacted]'],
    ['[::1]:2', '[::1]:2'],
    ['nats://user:123456', 'nats://[redacted]'],
  ])('%s is %s', (text, shown) => {
    expect(withoutNatsLogin(text)).toBe(shown);
  });

  it.each(secrets)('nothing is left of a password with %s', (_what, password) => {
    for (const end of ['h', 'h:99999', 'h/x y', 'h,i,', '']) {
      const shown = withoutNatsLogin(`nats://svc:${password}@${end}`);
      expect(shown).toBe(`nats://[redacted]@${end}`);
    }
  });
});
