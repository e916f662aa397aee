import type { InspectedContainer, ListedContainer } from '../engine/engine-client';
import { EngineResponseError, EngineUnreachableError } from '../engine/engine-errors';
import { KnownFacts } from './known-facts';

const { signal } = new AbortController();
const listed = (id: string, of: ListedContainer = {}) => ({ id, listed: { Id: id, ...of } });

/** An engine that answers with what it is given for an id, and counts. */
function engine(answers: Record<string, InspectedContainer | Error>) {
  const asked: string[] = [];
  const inspectContainer = (id: string): Promise<InspectedContainer> => {
    asked.push(id);
    const answer = answers[id];
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer ?? {});
  };
  return { asked, inspectContainer };
}
const refused = (status: number) => new EngineResponseError('inspect container', status, 'refused');

it('asks for each container once, and takes what later inspections show', async () => {
  const facts = new KnownFacts();
  const client = engine({ a: { Created: '2026-01-02T03:04:05.000000006Z' }, b: {} });
  const list = () => facts.of(client, [listed('a'), listed('b')], { signal });
  expect((await list()).get('a')).toEqual({
    createdNs: BigInt(Date.parse('2026-01-02T03:04:05Z')) * 1_000_000n + 6n,
    cgroupParent: '',
    lastPid: undefined,
    lastStartedNs: undefined,
  });
  // Never 0, which would be no time.
  expect((await list()).get('b')?.createdNs).toBe(1n);
  facts.remember('b', { State: { Pid: 7 }, HostConfig: { CgroupParent: '/pods' } });
  expect((await list()).get('b')).toMatchObject({ lastPid: 7, cgroupParent: '/pods' });
  expect(client.asked.sort()).toEqual(['a', 'b']);
  facts.retain(['a']);
  await list();
  expect(client.asked.sort()).toEqual(['a', 'b', 'b']);
});

it('leaves out what is gone, and has of what cannot be inspected what the list says', async () => {
  const facts = new KnownFacts();
  const client = engine({ gone: refused(404), broken: refused(500), fine: {} });
  const list = () =>
    facts.of(client, [listed('gone'), listed('broken', { Created: 12 }), listed('fine')], {
      signal,
    });
  const found = await list();
  expect([...found.keys()].sort()).toEqual(['broken', 'fine']);
  expect(found.get('broken')).toMatchObject({ createdNs: 12_000_000_000n, lastPid: undefined });
  // It may be mended.
  await list();
  expect(client.asked.filter((id) => id === 'broken')).toHaveLength(2);
});

it('fails without an engine', async () => {
  const client = engine({
    a: new EngineUnreachableError('inspect container', 'unix:///x', 'gone'),
  });
  await expect(new KnownFacts().of(client, [listed('a')], { signal })).rejects.toThrow(
    'Docker Engine is not reachable',
  );
});
