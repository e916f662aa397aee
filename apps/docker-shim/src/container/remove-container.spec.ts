import { ContainerState } from '@stowage/cri-proto';
import { eventuallyPasses } from '@stowage/testing';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { EngineConnection } from '../engine/engine-connection';
import type { ContainerLogs } from '../log/container-logs';
import { PodQueue } from '../pod/pod-queue';
import { EngineLogWriter } from '../testing/engine-log-writer';
import { copyingLogs } from '../testing/copying-logs';
import type { InspectedAppContainer } from './containers';
import { RemoveContainer } from './remove-container';

let root: string;
let logs: ContainerLogs;
const { signal } = new AbortController();
const quiet = () => undefined;

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'remove-container-'));
  logs = copyingLogs(root);
});

afterEach(async () => {
  await logs.close();
  rmSync(root, { recursive: true, force: true });
});

/** A container whose log is followed, and the engine's part of its removal. */
async function followed(state: ContainerState) {
  const folder = path.join(root, 'engine');
  mkdirSync(folder);
  const writer = new EngineLogWriter(folder);
  const logPath = path.join(root, 'pods', '0.log');
  const container = { id: 'c1', sandboxId: 's1', logMode: 'copy', logPath, state } as const;
  await logs.follow({ id: 'c1', mode: 'copy', logPath, enginePath: writer.path });
  writer.write('first\n');
  await eventuallyPasses(() => expect(readFileSync(logPath, 'utf8')).toBe(writer.expected()));
  const found = { ...container, inspected: { LogPath: writer.path } };
  const client = {
    removeContainer: () => {
      if (state === ContainerState.CONTAINER_RUNNING) writer.write('killed\n');
      rmSync(folder, { recursive: true });
      return Promise.resolve();
    },
  };
  const remove = new RemoveContainer({
    connection: { engine: () => ({ client }) } as unknown as EngineConnection,
    containers: {
      locate: () => Promise.resolve(container),
      find: () => Promise.resolve(found as unknown as InspectedAppContainer),
      removed: quiet,
    },
    queue: new PodQueue(),
    records: { remove: () => Promise.resolve() },
    logs,
  });
  return { writer, logPath, remove };
}

it.each([
  ['runs', ContainerState.CONTAINER_RUNNING],
  ['has ended', ContainerState.CONTAINER_EXITED],
])('has all lines of a container that %s copied before it forgets it', async (_what, state) => {
  const { writer, logPath, remove } = await followed(state);
  for (let line = 0; line < 5000; line += 1) writer.write(`line ${line}\n`);
  await remove.remove('c1', { signal });
  expect(readFileSync(logPath, 'utf8')).toBe(writer.expected());
});

it('does not wait long for a log that cannot be written', async () => {
  const { writer, logPath, remove } = await followed(ContainerState.CONTAINER_EXITED);
  rmSync(path.dirname(logPath), { recursive: true });
  writeFileSync(path.dirname(logPath), 'no folder');
  writer.write('lost\n');
  const started = performance.now();
  await remove.remove('c1', { signal });
  expect(performance.now() - started).toBeLessThan(10_000);
});
