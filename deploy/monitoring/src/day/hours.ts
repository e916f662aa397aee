import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { gcWorker, imageService, runtimeGateway } from '@stowage/commands';
import { eventually } from '@stowage/testing';
import { policies, type DayNode } from './day-node';

/** A part of the day: something happens, and goes on until these alerts fire. */
export interface Hour {
  readonly title: string;
  readonly alerts: readonly string[];
  /** Makes it happen; returns what ends it, where it does not end by itself. */
  readonly begin: (node: DayNode) => Promise<(() => Promise<void> | void) | undefined>;
}

const everything = { bytes: 2 ** 40 };

/** What happens on the node, from morning to evening. */
export const hours: readonly Hour[] = [
  {
    title: 'pulls, a pod, commands',
    alerts: ['StowageGatewaySlow', 'StowageVersionsMixed'],
    begin: async (node) => {
      await runPod(node);
      // What is counted once has no rate: there is another pod in the evening.
      await node.docker.removePod(await node.docker.runPod('morning-0'));
      await node.send(imageService.ensure, { image: await pushed(node, 'ensured') });
      await node.images.removeImage({ image: { image: await pulled(node, 'removed') } });
      return askOnAndOn(node);
    },
  },
  {
    title: 'images that are collected and pulled again',
    alerts: ['StowageRegrets'],
    begin: async (node) => {
      const references: string[] = [];
      for (let at = 0; at < 5; at += 1) references.push(await pulled(node, `again-${at}`));
      await collectable(node, references.length);
      await node.send(gcWorker.run, { bytes: 2 ** 20 }); // one that suffices
      await node.send(gcWorker.run, everything);
      for (const reference of references) await node.pull(reference);
      return undefined;
    },
  },
  {
    title: 'a pod whose image is not there',
    alerts: ['StowagePullsRefused'],
    begin: async (node) => {
      await node.pullInVain(6);
      return undefined;
    },
  },
  {
    title: 'a registry that is away',
    alerts: ['StowagePullsFailing'],
    begin: async (node) => {
      const reference = await pushed(node, 'unreachable');
      const { open: registry } = node.fixture.stack.registry;
      await registry.stop();
      for (let at = 0; at < 4; at += 1) await node.pull(reference).catch(() => undefined);
      return () => registry.start();
    },
  },
  {
    title: 'a registry that is slow',
    alerts: ['StowagePullsWaiting'],
    begin: async (node) => {
      const references = [];
      for (const name of ['slow-1', 'slow-2', 'slow-3']) references.push(await pushed(node, name));
      const { open: registry } = node.fixture.stack.registry;
      registry.pause();
      const pulls = Promise.allSettled(references.map((reference) => node.pull(reference)));
      return async () => {
        registry.resume();
        await pulls;
      };
    },
  },
  {
    title: 'a policy that is wrong',
    alerts: ['StowagePolicyRefused'],
    begin: (node) => {
      const { pid } = node.service('gc-worker');
      writeFileSync(node.policyFile, policies.bad);
      process.kill(pid, 'SIGHUP');
      return Promise.resolve(() => {
        writeFileSync(node.policyFile, policies.good);
        process.kill(pid, 'SIGHUP');
      });
    },
  },
  {
    title: 'a pause',
    alerts: ['StowagePausedTooLong'],
    begin: async (node) => {
      await node.send(gcWorker.pause, { minutes: 60, reason: 'looking into a disk' });
      return async () => {
        await node.send(gcWorker.resume, {});
      };
    },
  },
  {
    title: 'a client that speaks no HTTP/2',
    alerts: ['StowageConnectionsLetGo'],
    begin: (node) => {
      const stranger = connect(node.gatewaySocket);
      stranger.on('error', () => undefined);
      stranger.write('GET / HTTP/1.1\r\n\r\n');
      return Promise.resolve(() => void stranger.destroy());
    },
  },
  {
    title: 'NATS away',
    alerts: ['StowageEventsStuck', 'StowageEventsDropped'],
    begin: async (node) => {
      const { nats } = node.fixture.stack;
      await nats.stop();
      await node.pullInVain(80); // two events each, and 100 have room
      return () => nats.start();
    },
  },
  {
    title: 'a state folder that takes no writes',
    alerts: ['StowageRecordsNotOnDisk', 'StowageOutboxNotOnDisk'],
    begin: async (node) => {
      const remount = (how: string): void =>
        void execFileSync('mount', ['-o', `remount,${how}`, node.stateMount]);
      // Not under files that are open for writing.
      await node.restart('gc-worker', () => remount('ro'));
      await pulled(node, 'unrecorded');
      return () => remount('rw');
    },
  },
  {
    title: 'bytes that stay when their images go',
    alerts: ['StowageLeak'],
    begin: async (node) => {
      const { root } = node.fixture.stack.runtime;
      const leaked = path.join(root, 'leaked');
      await pulled(node, 'leaky', 30);
      await collectable(node, 1);
      mkdirSync(leaked);
      for (const part of [
        'io.containerd.content.v1.content',
        'io.containerd.snapshotter.v1.overlayfs',
      ]) {
        spawnSync('cp', ['-alx', path.join(root, part), leaked]);
      }
      await node.send(gcWorker.run, everything);
      return () => rmSync(leaked, { recursive: true, force: true });
    },
  },
  {
    title: 'a disk that other files fill',
    alerts: ['StowageFullSoon', 'StowageMarkExceeded', 'StowageCollectionFallsShort'],
    begin: async (node) => {
      const file = path.join(node.fixture.stack.runtime.root, 'other-data');
      await fill(file, 85);
      return () => rmSync(file);
    },
  },
  {
    title: 'pods on Docker Engine',
    alerts: ['StowageEngineSlow'],
    begin: async ({ docker }) => {
      await docker.runPod('evening-0');
      return onAndOn(() => docker.ask());
    },
  },
  {
    title: 'a disk of logs that is full',
    alerts: ['StowageLogsBlocked'],
    begin: ({ docker }) => Promise.resolve(docker.fillLogs()),
  },
  {
    title: 'a runtime and a Docker Engine that are away',
    alerts: ['StowageComponentDown', 'StowageListStale'],
    begin: async (node) => {
      const [{ runtime }, { docker }] = [node.fixture.stack, node.docker.stack];
      // No event shows how containers end in a crash of the engine.
      await Promise.all([runtime.stop(), docker.kill()]);
      return async () => {
        await Promise.all([runtime.start(), docker.start()]);
        await node.docker.ready();
      };
    },
  },
  {
    title: 'a service that is killed',
    alerts: ['StowageDown'],
    begin: async (node) => {
      await node.earlier.kill();
      return undefined;
    },
  },
];

async function pushed(node: DayNode, name: string, sizeMb = 3): Promise<string> {
  const image = { name: `day/${name}`, tag: '1', sizeMb };
  return (await node.fixture.stack.pushImage(image)).reference;
}

async function pulled(node: DayNode, name: string, sizeMb?: number): Promise<string> {
  const reference = await pushed(node, name, sizeMb);
  await node.pull(reference);
  return reference;
}

/** Waits until so many images may go: what was just pulled is held until its events have come. */
async function collectable(node: DayNode, count: number): Promise<void> {
  await eventually(
    async () => {
      const { images } = await node.send(gcWorker.plan, everything);
      return images.filter(({ verdict }) => verdict === 'remove').length >= count;
    },
    { what: `${count} images to be collectable` },
  );
}

/** Calls and commands to the services of the first node. */
const askOnAndOn = (node: DayNode) =>
  onAndOn(async () => {
    await node.runtime.status({});
    await node.images.listImages({});
    await node.send(imageService.list, {});
    await node.send(runtimeGateway.pods, {});
  });

/** Asks a few times a second until the end: a rate needs two scrapes in which a series is there. */
function onAndOn(ask: () => Promise<void>): () => Promise<void> {
  const end = new AbortController();
  const asked = (async () => {
    while (!end.signal.aborted) {
      await ask();
      await pause(200);
    }
  })();
  return () => {
    end.abort();
    return asked;
  };
}

/** A pod with a container through the gateway, from its start to its end. */
async function runPod(node: DayNode): Promise<void> {
  const { runtime } = node;
  const image = await pulled(node, 'pod');
  const config = {
    metadata: { name: 'web-0', namespace: 'day', uid: 'day-0001', attempt: 0 },
    logDirectory: path.join(node.fixture.stack.dir, 'web-0'),
    linux: {},
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: {
      metadata: { name: 'web', attempt: 0 },
      image: { image },
      logPath: 'web.log',
      linux: {},
    },
  });
  await runtime.startContainer({ containerId });
  await runtime.execSync({ containerId, cmd: ['/bin/true'], timeout: 10n });
  await runtime.listContainers({});
  await runtime.containerStatus({ containerId: 'none' }).catch(() => undefined);
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
}

/** Writes a file until the file system it is on is used to so many percent. */
async function fill(file: string, percent: number): Promise<void> {
  const { bavail, bsize, blocks } = statfsSync(path.dirname(file));
  const bytes = bavail * bsize - Math.floor((blocks * bsize * (100 - percent)) / 100);
  const chunk = Buffer.alloc(2 ** 20, 1);
  const handle = await open(file, 'w');
  try {
    for (let written = 0; written < bytes; written += chunk.length) await handle.write(chunk);
  } finally {
    await handle.close();
  }
}
