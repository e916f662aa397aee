import { ContainerState } from '@stowage/cri-proto';
import { eventuallyPasses } from '@stowage/testing';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { EngineAvailability } from '../engine/engine-connection';
import { EngineResponseError } from '../engine/engine-errors';
import type { ContainerLogs } from '../log/container-logs';
import { PodQueue } from '../pod/pod-queue';
import { EngineLogWriter } from '../testing/engine-log-writer';
import { copyingLogs } from '../testing/copying-logs';
import { ContainerUpkeep } from './container-upkeep';
import type { AppContainer, InspectedAppContainer } from './containers';

let root: string;
let logs: ContainerLogs;
let queue: PodQueue;
let upkeep: ContainerUpkeep;
let writer: EngineLogWriter;
let logPath: string;
let state: ContainerState;
let inspections: number;
let listed: AppContainer[];
/** Thrown by inspections, and by the removal of leftovers. */
let faults: { find?: Error; leftovers?: Error };
let connected: (availability: EngineAvailability) => void;
const quiet = () => undefined;
const located = { id: 'c1', sandboxId: 's1' };

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'container-upkeep-'));
  mkdirSync(path.join(root, 'engine'));
  writer = new EngineLogWriter(path.join(root, 'engine'));
  logPath = path.join(root, 'pods', '0.log');
  state = ContainerState.CONTAINER_RUNNING;
  inspections = 0;
  listed = [];
  faults = {};
  queue = new PodQueue();
  logs = copyingLogs(root);
  upkeep = new ContainerUpkeep({
    connection: {
      availability: () => ({ available: false, since: new Date(), connections: 0 }),
      onAvailability: (listener) => {
        connected = listener;
        return quiet;
      },
    },
    containers: {
      list: () => Promise.resolve(listed),
      find: (id) => {
        inspections += 1;
        if (id === 'broken' && faults.find) return Promise.reject(faults.find);
        const inspected = { LogPath: writer.path };
        const found = { id, logMode: 'copy', logPath, state, inspected };
        return Promise.resolve(found as unknown as InspectedAppContainer);
      },
    },
    records: { ids: () => [], remove: () => Promise.resolve() },
    files: {
      removeLeftovers: () =>
        faults.leftovers ? Promise.reject(faults.leftovers) : Promise.resolve(),
    },
    queue,
    logs,
    log: { warn: quiet },
  });
});

afterEach(async () => {
  await upkeep.close();
  await logs.close();
  rmSync(root, { recursive: true, force: true });
});

const follow = () => logs.follow({ id: 'c1', mode: 'copy', logPath, enginePath: writer.path });
const copied = () =>
  eventuallyPasses(() => expect(readFileSync(logPath, 'utf8')).toBe(writer.expected()));

it('a container that nobody is known to have started has its log copied', async () => {
  writer.write('one\n');
  await upkeep.started(located);
  await copied();
  writer.write('two\n');
  await copied();
});

it('a container that is started again has its log copied on, to its end', async () => {
  await follow();
  writer.write('first life\n');
  await logs.ended('c1', { withinMs: 30_000 });
  writer.write('second life\n');
  await upkeep.started(located);
  await copied();
  await logs.ended('c1', { withinMs: 30_000 });
  writer.write('third life\n');
  state = ContainerState.CONTAINER_EXITED;
  await upkeep.started(located);
  await copied();
  expect(logs.hasEnded('c1')).toBe(true);
});

it('asks nothing about a container whose log is followed by the call that has started it', async () => {
  let end: () => void = quiet;
  const starting = queue.run('s1', async () => {
    await new Promise<void>((resolve) => (end = resolve));
    await follow();
  });
  const seen = upkeep.started(located);
  end();
  await Promise.all([starting, seen]);
  expect(inspections).toBe(0);
});

it('follows logs at the start though the engine cannot inspect or remove other containers', async () => {
  const of = (id: string) => ({ id, state, logPath }) as AppContainer;
  listed = [of('broken'), of('c1')];
  faults = {
    find: new EngineResponseError('inspect container', 500, 'RWLayer is unexpectedly nil'),
    leftovers: new EngineResponseError('remove container', 500, 'device or resource busy'),
  };
  writer.write('before\n');
  connected({ available: true, since: new Date(), connections: 1 });
  await copied();
});
