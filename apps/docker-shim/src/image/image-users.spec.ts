import type { InspectedImage } from '../engine/engine-client';
import { EngineResponseError, EngineUnreachableError } from '../engine/engine-errors';
import { ImageUsers } from './image-users';

const { signal } = new AbortController();
const refused = (status: number) => new EngineResponseError('inspect image', status, 'refused');

/** An engine that answers with what it is given for an id, and counts. */
function engine(answers: Record<string, InspectedImage | Error>) {
  const asked: string[] = [];
  const inspectImage = (id: string): Promise<InspectedImage> => {
    asked.push(id);
    const answer = answers[id] ?? {};
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  return { asked, inspectImage };
}

it('asks for each image once, and lets none that cannot be inspected keep others back', async () => {
  const users = new ImageUsers();
  const client = engine({
    web: { Config: { User: 'web:1' } },
    gone: refused(404),
    broken: refused(500),
  });
  const list = () => users.of(client, ['web', 'gone', 'broken', 'root'], signal);
  const expected = new Map([
    ['web', 'web:1'],
    ['root', ''],
  ]);
  expect(await list()).toEqual(expected);
  await list();
  expect(client.asked.filter((id) => id === 'web' || id === 'root')).toHaveLength(2);
});

it('fails without an engine', async () => {
  const client = engine({ a: new EngineUnreachableError('inspect image', 'unix:///x', 'gone') });
  await expect(new ImageUsers().of(client, ['a'], signal)).rejects.toThrow(
    'Docker Engine is not reachable',
  );
});
