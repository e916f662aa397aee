import { statusOf } from './session-status';

describe('statusOf', () => {
  it.each([
    ['success', { exitCode: 0 }, { metadata: {}, status: 'Success' }, ''],
    [
      'an exit code',
      { exitCode: 137 },
      {
        metadata: {},
        status: 'Failure',
        reason: 'NonZeroExitCode',
        message:
          'command terminated with non-zero exit code: command terminated with exit code 137',
        details: { causes: [{ reason: 'ExitCode', message: '137' }] },
      },
      'command terminated with non-zero exit code: command terminated with exit code 137',
    ],
    [
      'anything else',
      { error: new Error('the engine is gone') },
      {
        metadata: {},
        status: 'Failure',
        reason: 'InternalError',
        message: 'Internal error occurred: the engine is gone',
        details: { causes: [{ message: 'the engine is gone' }] },
        code: 500,
      },
      'Internal error occurred: the engine is gone',
    ],
  ])('says %s, as JSON and as text', (_what, end, json, text) => {
    expect(JSON.parse(statusOf(end, 'json'))).toEqual(json);
    expect(statusOf(end, 'text')).toBe(text);
  });
});
