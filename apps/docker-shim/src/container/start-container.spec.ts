import { ContainerState } from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';
import { PodQueue } from '../pod/pod-queue';
import type { InspectedAppContainer } from './containers';
import { StartContainer, type StartContainerParts } from './start-container';

const { signal } = new AbortController();
const nothing = () => Promise.resolve();

/** A container that the engine starts with this process as its first one. */
function created(
  changes: Partial<StartContainerParts> = {},
  onStart: () => void = () => undefined,
) {
  const calls: string[] = [];
  const warnings: string[] = [];
  let state = ContainerState.CONTAINER_CREATED;
  const client = {
    startContainer: () => {
      calls.push('start');
      onStart();
      state = ContainerState.CONTAINER_RUNNING;
      return Promise.resolve();
    },
    killContainer: () => {
      calls.push('kill');
      return Promise.resolve();
    },
  };
  const found = () => ({
    ...{ id: 'c1', sandboxId: 's1', state, logMode: 'copy', logPath: '', inspected: {} },
    pid: state === ContainerState.CONTAINER_RUNNING ? process.pid : undefined,
  });
  const start = new StartContainer({
    connection: { engine: () => ({ client }) } as unknown as EngineConnection,
    containers: {
      locate: () => Promise.resolve({ id: 'c1', sandboxId: 's1' }),
      find: () => Promise.resolve(found() as unknown as InspectedAppContainer),
      startFailed: () => undefined,
    },
    queue: new PodQueue(),
    records: { get: () => ({ limits: { hugepageLimits: [], unified: {} } }), set: nothing },
    logs: { follow: nothing, ended: nothing },
    cgroups: { find: () => undefined, holds: () => true },
    log: { warn: (_fields: object, message?: string) => warnings.push(message ?? '') },
    ...changes,
  } as StartContainerParts);
  return { start, calls, warnings };
}

it('keeps a container running of which nothing can be written down, as on a full disk', async () => {
  const { start, calls, warnings } = created({
    records: {
      get: () => ({ limits: { hugepageLimits: [], unified: {} } }),
      set: () => Promise.reject(new Error('ENOSPC: no space left on device')),
    },
  });
  await start.start('c1', { signal });
  expect(calls).toEqual(['start']);
  expect(warnings).toEqual(['the user of a container will not be known after a restart']);
});

it('ends a container whose caller has given up while the engine started it', async () => {
  const caller = new AbortController();
  const { start, calls } = created({}, () => caller.abort(new Error('gave up')));
  await expect(start.start('c1', { signal: caller.signal })).rejects.toThrow('gave up');
  expect(calls).toEqual(['start', 'kill']);
});
