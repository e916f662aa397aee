import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import * as errors from './index';

const {
  errorCatalogue,
  errorMessage,
  grpcStatusCode,
  grpcCodeName,
  grpcStatusName,
  quoteValue,
  StowageError,
  toGrpcStatus,
} = errors;

const workspace = path.resolve(__dirname, '../../..');
const page = readFileSync(path.join(workspace, 'docs/reference/errors.md'), 'utf8');

const samples: { error: errors.StowageError; message: string }[] = [
  {
    error: new errors.InvalidArgumentError('holdSeconds', -1, 'an integer from 0 to 86400'),
    message: 'holdSeconds: -1 is not allowed; allowed: an integer from 0 to 86400',
  },
  {
    error: new errors.InvalidImageNameError('Alpine', 'repository name must be lowercase'),
    message: 'image reference "Alpine" is not valid: repository name must be lowercase',
  },
  { error: new errors.NotFoundError('image', 'sha256:1'), message: 'image "sha256:1" not found' },
  {
    error: new errors.AlreadyExistsError('plan', 'p1'),
    message: 'plan "p1" already exists',
  },
  {
    error: new errors.PermissionDeniedError('command remove', 'not in the key commands'),
    message: 'command remove is not allowed: not in the key commands',
  },
  { error: new errors.FailedPreconditionError('plan is stale'), message: 'plan is stale' },
  {
    error: new errors.ResourceExhaustedError('command queue', 64),
    message: 'command queue is full: limit 64',
  },
  {
    error: new errors.DeadlineExceededError('ListImages', 2000),
    message: 'ListImages timed out after 2000 ms',
  },
  { error: new errors.CancelledError('pull'), message: 'pull was cancelled by the caller' },
  {
    error: new errors.ShuttingDownError('image-service'),
    message: 'image-service is shutting down',
  },
  {
    error: new errors.RuntimeUnavailableError(
      'unix:///run/c.sock',
      new Date(0),
      'connect ENOENT /run/c.sock',
    ),
    message:
      'container runtime at unix:///run/c.sock is unavailable since 1970-01-01T00:00:00.000Z: connect ENOENT /run/c.sock',
  },
  {
    error: new errors.ResponseInvalidError('PullImage', 'imageRef of image "a" is not set'),
    message: 'imageRef of image "a" is not set',
  },
  {
    error: new errors.UnimplementedError('image-service.fly'),
    message: 'image-service.fly: unknown to this service',
  },
  { error: new errors.InternalError('two owners'), message: 'two owners' },
];

describe('errors', () => {
  it.each(samples.map((sample) => [sample.error.name, sample] as const))(
    '%s says what is wrong in one line and carries the code, status and retryability of the catalogue',
    (name, { error, message }) => {
      expect(error.message).toBe(message);
      expect(error).toBeInstanceOf(StowageError);
      const entry = errorCatalogue[error.code as errors.ErrorCode];
      expect(entry.className).toBe(name);
      expect([error.grpcStatus, error.retryable]).toEqual([entry.grpcStatus, entry.retryable]);
    },
  );

  it('keeps the cause', () => {
    const cause = new Error('inner');
    expect(new errors.InternalError('outer', { cause }).cause).toBe(cause);
    expect('cause' in new errors.InternalError('outer')).toBe(false);
  });

  it('has a sample above for each code, so that no code goes untested', () => {
    expect(samples.map(({ error }) => error.code).sort()).toEqual(
      Object.keys(errorCatalogue).sort(),
    );
  });

  it.each([
    ['a', '"a"'],
    ['a\nb', '"a\\nb"'],
    [undefined, 'undefined'],
    [null, 'null'],
    [12n, '12'],
    [{ a: 1 }, '{"a":1}'],
    [() => 1, 'a function'],
    [Symbol('x'), 'a symbol'],
    ['x'.repeat(300), `"${'x'.repeat(255)}… (302 characters)`],
  ])('quotes %p as one short line', (value, text) => {
    expect(quoteValue(value)).toBe(text);
  });

  it('quotes an object that JSON cannot hold without throwing', () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    expect(quoteValue(cycle)).toBe('an object that JSON cannot hold');
  });
});

describe('gRPC status', () => {
  it('maps names and numbers both ways, and anything else to UNKNOWN', () => {
    for (const [name, code] of Object.entries(grpcStatusCode))
      expect(grpcStatusName(code)).toBe(name);
    expect([0, 5, 17].map(grpcCodeName)).toEqual(['OK', 'NOT_FOUND', 'UNKNOWN']);
    expect([0, 17, -1, 1.5].map(grpcStatusName)).toEqual([
      'UNKNOWN',
      'UNKNOWN',
      'UNKNOWN',
      'UNKNOWN',
    ]);
  });

  it.each([
    ['an error of ours', new errors.NotFoundError('image', 'a'), 5, 'image "a" not found'],
    ['a plain object with grpcStatus', { grpcStatus: 'ABORTED', message: 'm' }, 10, 'm'],
    ['a grpcStatus that does not exist', { grpcStatus: 'toString', message: 'm' }, 2, 'm'],
    [
      'an error of a gRPC client',
      Object.assign(new Error('/runtime.v1.ImageService/PullImage UNAVAILABLE: gone'), {
        code: 14,
        details: 'gone',
      }),
      14,
      'gone',
    ],
    [
      'an aborted signal',
      new DOMException('This operation was aborted', 'AbortError'),
      1,
      'This operation was aborted',
    ],
    ['a signal that timed out', new DOMException('late', 'TimeoutError'), 4, 'late'],
    [
      'a system error',
      Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' }),
      2,
      'connect ENOENT',
    ],
    ['a system error without text', Object.assign(new Error(''), { code: 'ENOENT' }), 2, 'ENOENT'],
    ['many errors', new AggregateError([new Error('a'), 'b']), 2, 'a; b'],
    ['an error without text', new TypeError(''), 2, 'TypeError'],
    ['an empty object', {}, 2, 'unknown error'],
    ['a string', 'boom', 2, 'boom'],
    ['undefined', undefined, 2, 'undefined'],
    ['null', null, 2, 'null'],
  ])('of %s', (_what, error, code, message) => {
    expect(toGrpcStatus(error)).toEqual({ code, name: grpcStatusName(code), message });
    expect(errorMessage(error)).toBe(message);
  });
});

describe('docs/reference/errors.md', () => {
  it.each(Object.entries(errorCatalogue))('says what %s means and what to do', (code, entry) => {
    const row = `| \`${code}\` | \`${entry.className}\` | ${entry.grpcStatus} | ${entry.retryable ? 'yes' : 'no'} | ${entry.meaning} | ${entry.action} |`;
    expect(page.split('\n')).toContain(row);
  });

  it('has no row for a code that does not exist', () => {
    const common = page.slice(page.indexOf('## Common'), page.indexOf('## Errors of one part'));
    const rows = [...common.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code);
    expect(rows).toEqual(Object.keys(errorCatalogue));
  });

  it('names every class of the workspace that extends StowageError', () => {
    const classes = ['apps', 'libs'].flatMap((folder) =>
      sources(path.join(workspace, folder)).flatMap((file) =>
        [...readFileSync(file, 'utf8').matchAll(/class (\w+) extends StowageError\b/g)].map(
          ([, name]) => name,
        ),
      ),
    );
    expect(classes.length).toBeGreaterThanOrEqual(samples.length);
    expect(classes.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });
});

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
    .filter((file) => !/(^|\/)(node_modules|gen|boundary-fixture)\//.test(file))
    .map((file) => path.join(folder, file));
}
