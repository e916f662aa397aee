import { errorText } from './error-text';
import { natsConnectSettings } from './nats-link';
import type { NatsOptions } from './types';

describe('connection settings', () => {
  it.each<[string, NatsOptions, string, object]>([
    ['host and port', { servers: ['a:1'] }, 'nats://a:1', { servers: ['a:1'] }],
    ['the default port', { servers: ['nats://a'] }, 'nats://a:4222', { servers: ['a:4222'] }],
    ['IPv6', { servers: ['nats://[::1]:1'] }, 'nats://[::1]:1', { servers: ['[::1]:1'] }],
    [
      'several servers',
      { servers: ['nats://a:1', 'nats://b:2'] },
      'nats://a:1, nats://b:2',
      { servers: ['a:1', 'b:2'] },
    ],
    ['TLS by scheme', { servers: ['tls://a:1'] }, 'tls://a:1', { tls: {} }],
    [
      'TLS with CA and client certificate',
      { servers: ['a:1'], tls: { caFile: 'ca', certFile: 'c', keyFile: 'k' } },
      'nats://a:1',
      { tls: { caFile: 'ca', certFile: 'c', keyFile: 'k' } },
    ],
    ['a token', { servers: ['a:1'], token: 't' }, 'nats://a:1', { token: 't' }],
    ['a token in the URL', { servers: ['nats://t@a:1'] }, 'nats://a:1', { token: 't' }],
    [
      'reconnects without end, also after refused logins',
      { servers: ['a:1'] },
      'nats://a:1',
      { maxReconnectAttempts: -1, ignoreAuthErrorAbort: true, name: 'x@y' },
    ],
  ])('%s', (_case, nats, serversText, options) => {
    const settings = natsConnectSettings(nats, 'x@y');
    expect(settings.serversText).toBe(serversText);
    expect(settings.options).toMatchObject(options);
  });

  it.each<[string, NatsOptions]>([
    ['options', { servers: ['nats://a:1'], user: 'u', password: 'p%' }],
    ['the URL', { servers: ['nats://u:p%25@a:1'] }],
    ['the URL, not encoded', { servers: ['nats://u:p%@a:1'] }],
  ])('user and password from %s', (_case, nats) => {
    const { options, serversText } = natsConnectSettings(nats, 'n');
    const { authenticator } = options;
    if (typeof authenticator !== 'function') throw new Error('no authenticator');
    expect(authenticator()).toEqual({ user: 'u', pass: 'p%' });
    expect(serversText).toBe('nats://a:1');
  });

  it.each<[string, NatsOptions, string]>([
    ['no server', { servers: [] }, 'nats.servers: [] is not allowed; allowed: at least one server'],
    [
      'another scheme, without revealing the password',
      { servers: ['http://u:secret@a'] },
      'nats.servers: "http://***@a" is not allowed; allowed: nats://host:port, tls://host:port or host:port',
    ],
    [
      'a port out of range, with nothing of a password that holds what ends a login elsewhere',
      { servers: ['nats://u:pa/ss@w,x@a:99999'] },
      'nats.servers: "nats://***@a:99999" is not allowed; allowed: nats://host:port, tls://host:port or host:port',
    ],
    [
      'no host',
      { servers: ['nats://'] },
      'nats.servers: "nats://" is not allowed; allowed: nats://host:port, tls://host:port or host:port',
    ],
    [
      'two logins',
      { servers: ['a'], credsFile: 'c', user: 'u' },
      'nats: ["credsFile","user"] is not allowed; allowed: one of credsFile, nkeySeedFile, user and token',
    ],
    [
      'a certificate without key',
      { servers: ['a'], tls: { certFile: 'c' } },
      'nats.tls: "c" is not allowed; allowed: certFile and keyFile together',
    ],
  ])('%s is refused', (_case, nats, message) => {
    expect(() => natsConnectSettings(nats, 'n')).toThrow(message);
  });
});

describe('error texts', () => {
  it.each([
    ['a plain error', new Error('boom'), 'boom'],
    ['a code that adds something', Object.assign(new Error('x'), { code: 'Y' }), 'x [Y]'],
    ['a code that is the text', Object.assign(new Error('Y'), { code: 'Y' }), 'Y'],
    [
      'a chained error',
      Object.assign(new Error('Y'), { code: 'Y', chainedError: new Error('z') }),
      'z',
    ],
    ['a text', 'gone', 'gone'],
    ['nothing', undefined, 'undefined'],
  ])('%s', (_case, error, text) => {
    expect(errorText(error)).toBe(text);
  });
});
