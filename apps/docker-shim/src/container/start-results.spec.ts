import type { InspectedContainer } from '../engine/engine-client';
import { EngineResponseError, EngineUnreachableError } from '../engine/engine-errors';
import { StartResults } from './start-results';

const { signal } = new AbortController();
const never = '0001-01-01T00:00:00Z';
const failed: InspectedContainer = { State: { StartedAt: never, ExitCode: 127 } };
const refused = (status: number) => new EngineResponseError('inspect container', status, 'refused');
const client = (answers: Record<string, InspectedContainer | Error>) => ({
  inspectContainer: (id: string) => {
    const answer = answers[id] ?? {};
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  },
});

it('finds those that could not be started, whatever is the matter with others', async () => {
  const results = new StartResults();
  const engine = client({ failed, gone: refused(404), broken: refused(500) });
  const created = ['fresh', 'failed', 'gone', 'broken'];
  expect([...(await results.failed(engine, created, { signal }))]).toEqual(['failed']);
});

it('fails without an engine', async () => {
  const engine = client({
    a: new EngineUnreachableError('inspect container', 'unix:///x', 'gone'),
  });
  await expect(new StartResults().failed(engine, ['a'], { signal })).rejects.toThrow(
    'Docker Engine is not reachable',
  );
});
