import { InternalError } from '@stowage/errors';
import { createLogger, isSecretKey } from './log';
import { nestLogger } from './nest-logger';

function capture(level: 'debug' | 'info' = 'info') {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger({
    level,
    bindings: { app: 'a', node: 'n' },
    destination: { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  });
  return { log, lines };
}

describe('log', () => {
  it('writes one JSON object a line with level name, ISO time, app and node', () => {
    const { log, lines } = capture();
    log.info({ image: 'alpine' }, 'pulled');
    log.debug('not at this level');
    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
        app: 'a',
        node: 'n',
        image: 'alpine',
        msg: 'pulled',
      },
    ]);
  });

  it('replaces values of secret keys at any depth, in children too, and leaves empty ones', () => {
    const { log, lines } = capture();
    log.child({ call: 'PullImage' }).info({
      auth: { username: 'u', password: 'p' },
      list: [{ identity_token: 't', 'Registry-Token': 't', name: 'x' }],
      password: '',
      bytes: new Uint8Array(3),
      size: 5n,
    });
    expect(lines[0]).toMatchObject({
      call: 'PullImage',
      auth: '[redacted]',
      list: [{ identity_token: '[redacted]', 'Registry-Token': '[redacted]', name: 'x' }],
      password: '',
      bytes: '[3 bytes]',
      size: '5',
    });
  });

  it('says of an error its class, message, code, status and cause, and nothing else it carries', () => {
    const { log, lines } = capture();
    const error = new InternalError('outer', { cause: new Error('inner') });
    Object.assign(error, { request: { password: 'hunter2' } });
    log.error({ err: error }, 'failed');
    expect(lines[0]?.err).toMatchObject({
      type: 'InternalError',
      message: 'outer',
      code: 'INTERNAL',
      grpcStatus: 'INTERNAL',
      cause: { message: 'inner' },
    });
    expect(JSON.stringify(lines)).not.toContain('hunter2');
  });

  it('survives objects that hold themselves', () => {
    const { log, lines } = capture();
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    log.info({ cycle }, 'm');
    expect(lines).toHaveLength(1);
  });

  it.each([
    ['password', true],
    ['registry_token', true],
    ['serviceAccountToken', true],
    ['Authorization', true],
    ['credentialHash', false],
    ['tokens', false],
    ['image', false],
  ])('takes the key %s for a secret: %s', (name, secret) => expect(isSecretKey(name)).toBe(secret));

  it('takes NestJS lines: its start-up at debug, errors as errors until the stop', () => {
    const { log, lines } = capture('debug');
    let isStopping = false;
    const nest = nestLogger(log, () => isStopping);
    nest.log('Nest application started', 'NestFactory');
    nest.error(new Error('boom'), 'Injector');
    isStopping = true;
    nest.error(new Error('aborted'), 'ExceptionHandler');
    expect(lines).toMatchObject([
      { level: 'debug', nest: 'NestFactory', msg: 'Nest application started' },
      { level: 'error', nest: 'Injector', msg: 'boom', err: { message: 'boom' } },
      { level: 'debug', nest: 'ExceptionHandler', msg: 'aborted' },
    ]);
  });
});
