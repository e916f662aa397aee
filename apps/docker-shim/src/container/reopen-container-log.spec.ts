import { ContainerState } from '@stowage/cri-proto';
import { eventuallyPasses } from '@stowage/testing';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ContainerLogs } from '../log/container-logs';
import { criLine, EngineLogWriter } from '../testing/engine-log-writer';
import { copyingLogs } from '../testing/copying-logs';
import type { InspectedAppContainer } from './containers';
import { ReopenContainerLog } from './reopen-container-log';

let root: string;
let logs: ContainerLogs;
const { signal } = new AbortController();

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'stowage-logs-'));
  logs = copyingLogs(root);
});

afterEach(async () => {
  await logs.close();
  rmSync(root, { recursive: true, force: true });
});

function container(id: string, changes: Partial<InspectedAppContainer> = {}) {
  const folder = path.join(root, 'engine', id);
  mkdirSync(folder, { recursive: true });
  const writer = new EngineLogWriter(folder);
  const logPath = path.join(root, 'pods', id, '0.log');
  const found = {
    id,
    logMode: 'copy',
    logPath,
    state: ContainerState.CONTAINER_RUNNING,
    inspected: { LogPath: writer.path },
    ...changes,
  } as InspectedAppContainer;
  return { writer, logPath, found };
}

const reopen = ({ found }: ReturnType<typeof container>) =>
  new ReopenContainerLog({ get: () => Promise.resolve(found) }, logs).reopen(found.id, { signal });

const read = (file: string) => readFileSync(file, 'utf8');

it('continues in a new file, also when nobody has looked at the container since the start', async () => {
  const one = container('c1');
  const enginePath = one.writer.path;
  await logs.follow({ id: 'c1', mode: 'copy', logPath: one.logPath, enginePath });
  one.writer.write('first\n');
  await eventuallyPasses(() => expect(read(one.logPath)).toBe(one.writer.expected()));
  await logs.close();
  one.writer.write('second\n');
  const old = `${one.logPath}.20261129-100000`;
  renameSync(one.logPath, old);
  logs = copyingLogs(root);

  await reopen(one);
  expect(read(old)).toBe(criLine(one.writer.entries[0]!));
  one.writer.write('third\n');
  await eventuallyPasses(() => expect(read(old) + read(one.logPath)).toBe(one.writer.expected()));

  renameSync(one.logPath, `${old}-2`);
  await reopen(one);
  one.writer.write('fourth\n');
  await eventuallyPasses(() => expect(read(one.logPath)).toBe(criLine(one.writer.entries.at(-1)!)));
});

it('is refused for what does not run, and for links', async () => {
  const ended = container('c1', { state: ContainerState.CONTAINER_EXITED });
  await expect(reopen(ended)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
  expect(logs.isFollowed('c1')).toBe(false);
  const link = container('c2', { logMode: 'link' });
  await expect(reopen(link)).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
});
