import { CancelledError, NotFoundError, RuntimeUnavailableError } from '@stowage/errors';
import { criCallLog } from './call-log';
import { CommandExitError, CommandTimeoutError, CriError } from './errors';
import { LogReduction } from './log-reduction';
import type { CriCall } from './types';

describe('log reduction', () => {
  it('an identical error of an object is worth a line once a minute', () => {
    const reduction = new LogReduction();
    const asked = [0, 1, 59_999, 60_000, 60_001].map((now) =>
      reduction.shouldLog('a', 'gone', now),
    );
    expect(asked).toEqual([true, false, false, true, false]);
  });

  it('another error, another object, and an object that was cleared are worth a line at once', () => {
    const reduction = new LogReduction();
    expect(reduction.shouldLog('a', 'gone', 0)).toBe(true);
    expect(reduction.shouldLog('a', 'slow', 1)).toBe(true);
    expect(reduction.shouldLog('a', 'gone', 2)).toBe(true);
    expect(reduction.shouldLog('b', 'gone', 3)).toBe(true);
    reduction.clear('a');
    expect(reduction.shouldLog('a', 'gone', 4)).toBe(true);
  });

  it('forgets objects that have been quiet for a minute', () => {
    const reduction = new LogReduction();
    for (let n = 0; n < 1000; n += 1) reduction.shouldLog(`object-${n}`, 'gone', n);
    expect(reduction.size).toBe(1000);
    reduction.shouldLog('last', 'gone', 61_000);
    expect(reduction.size).toBe(1);
  });
});

describe('the log of calls', () => {
  let now = 0;
  let lines: [object, string][] = [];
  let ended: (call: Partial<CriCall>, error?: unknown) => void;

  beforeEach(() => {
    now = 0;
    lines = [];
    const log = criCallLog(
      { error: (fields, message) => lines.push([fields, message]) },
      () => now,
    );
    ended = (call, error) => {
      const span = log.callStarted({
        service: 'runtime',
        method: 'ContainerStatus',
        operation: 'container_status',
        endpoint: 'unix:///run/x.sock',
        ...call,
      });
      span?.ended?.(error === undefined ? { durationMs: 1.4 } : { durationMs: 1.4, error });
    };
  });

  it('has a line for each failed call, none for the others', () => {
    ended({ method: 'StartContainer', objectId: 'c' });
    ended({ method: 'StartContainer', objectId: 'c' }, new NotFoundError('container', 'c'));
    ended({ method: 'StartContainer', objectId: 'c' }, new NotFoundError('container', 'c'));
    const line = [
      {
        method: 'StartContainer',
        objectId: 'c',
        code: 'NOT_FOUND',
        error: 'container "c" not found',
        durationMs: 1,
      },
      'StartContainer from runtime service failed',
    ];
    expect(lines).toEqual([line, line]);
  });

  it.each(['ContainerStatus', 'ContainerStats', 'PodSandboxStats'])(
    '%s: an identical error of the same object once a minute, again after a success',
    (method) => {
      const fail = () => {
        ended({ method, objectId: 'c' }, new NotFoundError('container', 'c'));
      };
      fail();
      fail();
      expect(lines).toHaveLength(1);
      now = 60_000;
      fail();
      expect(lines).toHaveLength(2);
      ended({ method, objectId: 'c' });
      fail();
      expect(lines).toHaveLength(3);
    },
  );

  it.each(['StopContainer', 'RemoveContainer'])(
    '%s makes errors of the container news',
    (method) => {
      const fail = () => {
        ended({ objectId: 'c' }, new NotFoundError('container', 'c'));
      };
      fail();
      ended({ method, objectId: 'c' });
      fail();
      expect(lines).toHaveLength(2);
    },
  );

  it('says once a minute that the runtime is away, whatever is called', () => {
    const away = new RuntimeUnavailableError('unix:///run/x.sock', new Date(0), 'gone');
    ended({ method: 'Status' }, away);
    ended({ method: 'ListContainers' }, away);
    ended({ objectId: 'c' }, away);
    expect(lines).toHaveLength(1);
    now = 60_000;
    ended({ method: 'Status' }, away);
    expect(lines).toHaveLength(2);
  });

  it('holds nothing of what a runtime says about a pull, which can quote the credential', () => {
    const pull = { service: 'image', method: 'PullImage' } as const;
    ended(pull, new CriError('PullImage', 'NOT_FOUND', 'Authorization: Basic hunter2'));
    ended(pull, new RuntimeUnavailableError('unix:///run/x.sock', new Date(0), 'lost'));
    expect(lines).toMatchObject([
      [
        {
          code: 'NOT_FOUND',
          error: 'withheld: it can quote the credential; the log line of the pull has it without',
        },
        expect.anything(),
      ],
      [
        { code: 'UNAVAILABLE', error: expect.stringContaining('lost') as string },
        expect.anything(),
      ],
    ]);
  });

  it('has no line for a call that its caller cancelled, at a stop for instance', () => {
    ended({ method: 'ListContainers' }, new CancelledError('ListContainers'));
    expect(lines).toEqual([]);
  });

  it('holds neither command lines nor their outputs', () => {
    const command = ['login', '--password', 's3cret'];
    ended(
      { method: 'ExecSync', objectId: 'c' },
      new CommandExitError(command, 7, new Uint8Array(), Buffer.from('s3cret')),
    );
    ended({ method: 'ExecSync', objectId: 'c' }, new CommandTimeoutError(command, 's3cret'));
    expect(lines.map(([fields]) => (fields as { error: string }).error)).toEqual([
      'command exited with 7',
      'command timed out',
    ]);
    expect(JSON.stringify(lines)).not.toMatch('s3cret');
  });
});
