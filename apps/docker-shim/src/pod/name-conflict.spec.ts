import { eventually, FakeEngine } from '@stowage/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EngineClient } from '../engine/engine-client';
import { FakeContainers, type FakeContainer } from '../testing/fake-containers';
import { containerName } from './container-name';
import { containerLabels, sandboxLabels } from './labels';
import { createNamed, type NamedContainer } from './name-conflict';

const metadata = { name: 'web_0', namespace: 'shop', uid: '8f2a', attempt: 1 };
const parts = { pod: 'web_0', namespace: 'shop', podUid: '8f2a', attempt: 1 };
const name = containerName(parts);
const labelled = (attempt: number) =>
  sandboxLabels({
    metadata: { ...metadata, attempt },
    labels: {},
    annotations: {},
    runtimeHandler: '',
  });

describe('createNamed', () => {
  let folder: string;
  let fake: FakeEngine;
  let containers: FakeContainers;
  let client: EngineClient;
  let results: string[];
  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'name-conflict-'));
    fake = new FakeEngine(path.join(folder, 'docker.sock'));
    await fake.start();
    containers = new FakeContainers(fake);
    containers.images.add('pause');
    client = new EngineClient({ socketPath: fake.socketPath, api: '1.41', timeoutMs: 10_000 });
    results = [];
  });
  afterEach(async () => {
    client.close();
    await fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const create = (
    changes: Partial<NamedContainer> = {},
    signal: AbortSignal = new AbortController().signal,
  ) =>
    createNamed(
      client,
      {
        name: parts,
        container: { Image: 'pause', Labels: labelled(1) },
        isKnown: () => true,
        onConflict: (result) => results.push(result),
        ...changes,
      },
      { signal },
    );
  const leftover = (changes: Partial<FakeContainer>) =>
    containers.add({ name, body: { Labels: labelled(1) }, ...changes });

  it('creates under the plain name where it is free, with one call', async () => {
    const id = await create();
    expect(containers.all.get(id)?.name).toBe(name);
    expect([containers.calls, results]).toEqual([['create'], []]);
  });

  // D19
  it.each([
    ['stopped', {}, true],
    ['created', { status: 'created' }, true],
    ['running, and nobody was told of it', { status: 'running' }, false],
  ] as const)('removes a leftover that is %s', async (_what, changes, known) => {
    const old = leftover(changes);
    const id = await create({ isKnown: () => known });
    expect([...containers.all.keys()]).toEqual([id]);
    expect(id).not.toBe(old.id);
    expect(containers.all.get(id)?.name).toBe(name);
    expect(results).toEqual(['removed']);
  });

  it('has the leftover removed as it is asked to', async () => {
    const old = leftover({});
    const removed: string[] = [];
    await create({
      removeLeftover: (id) => {
        removed.push(id);
        containers.all.delete(id);
        return Promise.resolve();
      },
    });
    expect(removed).toEqual([old.id]);
    const failing = { removeLeftover: () => Promise.reject(new Error('the network stays')) };
    await expect(create(failing)).rejects.toThrow('the network stays');
  });

  it('refuses when the very container runs, and callers know of it', async () => {
    const old = leftover({ status: 'running' });
    await expect(create()).rejects.toMatchObject({ grpcStatus: 'ALREADY_EXISTS' });
    expect([...containers.all.keys()]).toEqual([old.id]);
    expect(results).toEqual(['exists']);
  });

  it.each([
    ['no labels', {}],
    ['another attempt of this pod', { Labels: labelled(2) }],
    [
      'a container of this pod',
      {
        Labels: containerLabels(
          {
            metadata: { name: 'POD', attempt: 1 },
            labels: {},
            annotations: {},
            sandboxId: 'a1',
            image: '',
            logPath: '',
            logMode: 'copy',
          },
          metadata,
        ),
      },
    ],
  ])('leaves %s alone, and takes a name with a seventh part', async (_what, body) => {
    const other = leftover({ body, status: 'exited' });
    const id = await create();
    expect(containers.all.has(other.id)).toBe(true);
    expect(containers.all.get(id)?.name).toMatch(
      new RegExp(`^${name.replace(/_[0-9a-f]{8}$/, '')}_[0-9a-f]{8}$`),
    );
    expect(results).toEqual(['renamed']);
  });

  it('tries again when what has the name vanishes, and renames when that does not help', async () => {
    containers.next('create', { status: 409 });
    expect(containers.all.get(await create())?.name).toBe(name);
    containers.all.clear();
    containers.next('create', { status: 409 }, { status: 409 });
    expect(containers.all.get(await create())?.name).not.toBe(name);
    expect(results).toEqual(['renamed']);
  });

  it('waits for a removal that the engine has begun already', async () => {
    const old = leftover({});
    fake.answer = before(
      fake.answer,
      (method) => method === 'DELETE',
      409,
      () => {
        setTimeout(() => containers.all.delete(old.id), 100);
      },
    );
    const id = await create();
    expect([...containers.all.keys()]).toEqual([id]);
  });

  it('gives up when the names stay taken', async () => {
    containers.next('create', ...Array.from({ length: 9 }, () => ({ status: 409 })));
    await expect(create()).rejects.toMatchObject({ status: 409 });
    expect(containers.calls.filter((call) => call === 'create')).toHaveLength(5);
  });

  it('removes what the engine made for a caller that has given up', async () => {
    const givenUp = new AbortController();
    containers.next('create', () => givenUp.abort(new Error('given up')));
    await expect(create({}, givenUp.signal)).rejects.toThrow('given up');
    await eventually(() => containers.all.size === 0);
    expect(containers.calls).toEqual(['create', 'remove']);
    await expect(create({}, givenUp.signal)).rejects.toThrow('given up');
    expect(containers.calls).toEqual(['create', 'remove']);
  });
});

/** Refuses the first request of a kind, with something that happens meanwhile. */
function before(
  answer: FakeEngine['answer'],
  is: (method: string) => boolean,
  status: number,
  meanwhile: () => void,
): FakeEngine['answer'] {
  let done = false;
  return (request, response) => {
    if (done || !is(request.method)) return answer(request, response);
    done = true;
    meanwhile();
    response.writeHead(status).end('{"message":"removal is already in progress"}');
    return true;
  };
}
