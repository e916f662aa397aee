/**
 * The demo: the services on a real containerd, or a real Docker Engine, with a small file system.
 * Everything that it says it saw comes from the services themselves: answers on their sockets,
 * replies on NATS, and lines of a separate subscriber process.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, type NatsConnection } from 'nats';
import { gcWorker } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { errorMessage } from '@stowage/errors';
import { eventually, spawnApp, type Stack } from '@stowage/testing';
import {
  prepareRuntime,
  runtimeNames,
  startServers,
  type DemoRuntime,
  type RuntimeName,
} from './demo-runtime';
import { commandsToTry, interrupted } from './keep';
import { trackObservations } from './observations';
import { bar, createScreen, mebibytes } from './screen';
import { startSubscriber, type PrintedEvent, type Subscriber } from './subscriber';

const node = 'demo-node';
const filesystemMb = 600;
const highPercent = 80;
const lowPercent = 70;

const promised = {
  refused: 'a pull without credentials refused',
  accepted: 'the same pull with credentials accepted',
  events: 'events received by a separate subscriber process',
  pod: 'a pod and a container run through the gateway',
  exec: 'a command executed in the container',
  logs: "the container's output in its log file, in the CRI's format",
  threshold: 'the file system over its mark, and ThresholdExceeded',
  collected: 'a collection with a verdict and a rule for every image',
  measured: 'expected and measured bytes side by side',
  keptInUse: "the container's image kept",
  keptPinned: 'the image that the operator pinned kept',
  keptRecent: 'the recent image kept',
  clean: 'nothing left behind',
} as const;

const screen = createScreen(process.stdout);
const observations = trackObservations(Object.values(promised));
const began = performance.now();
let filling = false;

async function usedPercent(mountpoint: string): Promise<number> {
  const { bavail, blocks } = await statfs(mountpoint);
  return 100 - Math.trunc((bavail * 100) / blocks);
}

interface Sockets {
  imageSocket: string;
  runtimeSocket: string;
}

/** Where stowctl finds the services. */
const socketFolder = (stack: Stack): string => path.join(stack.dir, 'run');

/** What has to be ended, in the order in which it was begun. */
type Undo = (() => Promise<unknown>)[];

async function startServices(stack: Stack, runtime: DemoRuntime, undo: Undo): Promise<Sockets> {
  await mkdir(socketFolder(stack));
  const file = (name: string): string => path.join(stack.dir, name);
  const kubeletConfig = file('kubelet.yaml');
  await writeFile(
    kubeletConfig,
    [
      'apiVersion: kubelet.config.k8s.io/v1beta1',
      'kind: KubeletConfiguration',
      `imageGCHighThresholdPercent: ${highPercent}`,
      `imageGCLowThresholdPercent: ${lowPercent}`,
      'imageMinimumGCAge: 3s',
      '',
    ].join('\n'),
  );
  const common = {
    STOWAGE_NODE_NAME: node,
    STOWAGE_RUNTIME_ENDPOINT: runtime.endpoint,
    STOWAGE_NATS_SERVERS: stack.nats.url,
  };
  const imageSocket = file('image.sock');
  const runtimeSocket = file('runtime.sock');
  const start = async (app: string, env: Record<string, string>, args: string[] = []) => {
    const running = await spawnApp(app, {
      args,
      env: {
        ...common,
        STOWAGE_STATE_DIR: file(app),
        STOWAGE_COMMAND_SOCKET: path.join(socketFolder(stack), `${app}.cmd.sock`),
        ...env,
      },
    });
    undo.push(() => running.stop());
  };
  await start('image-service', { STOWAGE_LISTEN: imageSocket });
  await start('runtime-gateway', { STOWAGE_LISTEN: runtimeSocket, STOWAGE_LISTEN_READONLY: '' });
  await start(
    'gc-worker',
    { STOWAGE_DISK_CHECK_INTERVAL: '500ms', STOWAGE_EXEMPT_IMAGES: '**/toolbox:*' },
    ['--kubelet-config', kubeletConfig],
  );
  return { imageSocket, runtimeSocket };
}

async function showPulls(stack: Stack, imageSocket: string): Promise<void> {
  screen.chapter('A private image');
  const { host, username, password } = stack.registry.auth;
  const secret = await stack.pushImage({
    name: 'team/private',
    tag: '1.0',
    to: 'auth',
    sizeMb: 12,
  });
  const images = connectImageService({ endpoint: `unix://${imageSocket}` });
  try {
    const image = { image: secret.reference };
    screen.line(`PullImage ${secret.reference} without credentials`);
    const refusal = await images.pullImage({ image }).then(
      () => undefined,
      (error: unknown) => errorMessage(error),
    );
    observations.expect(promised.refused, refusal !== undefined, 'the pull was accepted');
    screen.line(`  refused: ${(refusal ?? '').slice(0, 160)}`);
    const started = performance.now();
    const auth = { username, password, serverAddress: `http://${host}` };
    const pulled = await images.pullImage({ image, auth });
    observations.expect(promised.accepted, pulled.imageRef !== '', 'no image reference');
    screen.line(
      `  with credentials: ${pulled.imageRef.slice(0, 19)}… in ${Math.round(performance.now() - started)} ms`,
    );
  } finally {
    images.close();
  }
}

async function showPod(stack: Stack, runtimeSocket: string, imageSocket: string): Promise<string> {
  screen.chapter('A pod through the gateway');
  const image = await stack.pushImage({
    name: 'demo/web',
    tag: '2.1',
    sizeMb: 30,
    command: ['/bin/sh', '-c', 'echo serving; exec sleep 2147483647'],
  });
  const images = connectImageService({ endpoint: `unix://${imageSocket}` });
  const runtime = connectRuntimeService({ endpoint: `unix://${runtimeSocket}` });
  try {
    const { imageRef } = await images.pullImage({ image: { image: image.reference } });
    const config = {
      metadata: { name: 'web-0', namespace: 'demo', uid: 'f7f1c1de-0001', attempt: 0 },
      logDirectory: path.join(stack.dir, 'web-0'),
      linux: {},
    };
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: 'web', attempt: 0 },
        image: { image: imageRef },
        logPath: 'web.log',
        linux: {},
      },
    });
    await runtime.startContainer({ containerId });
    const { containers } = await runtime.listContainers({ filter: { id: containerId } });
    observations.expect(promised.pod, containers.length === 1, 'the container is not listed');
    screen.line(
      `pod ${podSandboxId.slice(0, 12)}, container ${containerId.slice(0, 12)} running ${image.reference}`,
    );
    const cmd = ['/bin/sh', '-c', 'echo $((6 * 7))'];
    const { stdout } = await runtime.execSync({ containerId, cmd, timeout: 10n });
    const printed = Buffer.from(stdout).toString().trim();
    observations.expect(promised.exec, printed === '42', `the output is ${printed}`);
    screen.line(`ExecSync ${cmd.slice(2).join(' ')}: ${printed}`);
    const logFile = path.join(stack.dir, config.metadata.name, 'web.log');
    const logged = await eventually(
      () => /^\S+ stdout F serving$/m.exec(readFileSync(logFile, 'utf8'))?.[0],
      { timeoutMs: 10_000, what: 'the line in the log of the container' },
    );
    observations.saw(promised.logs);
    screen.line(`log: ${logged}`);
    return image.reference;
  } finally {
    images.close();
    runtime.close();
  }
}

/**
 * ThresholdExceeded of the high mark: there may be an early one, of a disk that is going to be full
 * soon.
 */
const highMarkCrossed = (subscriber: Subscriber): PrintedEvent | undefined =>
  subscriber.first('ThresholdExceeded', ({ data }) => {
    const { mark, cause } = data as { mark: string; cause?: string };
    return mark === 'high' && cause !== 'time-to-full';
  });

/** Pulls image after image until the mark is passed; returns the one pulled last. */
async function fill(
  stack: Stack,
  { root }: DemoRuntime,
  imageSocket: string,
  subscriber: Subscriber,
): Promise<string> {
  screen.chapter(`Images until the file system passes ${highPercent} %`);
  const images = connectImageService({ endpoint: `unix://${imageSocket}` });
  let last = '';
  try {
    for (let number = 1; ; number++) {
      const percent = await usedPercent(root);
      screen.progress(
        `${bar(percent / 100)} ${percent} % of ${filesystemMb} MB used, mark at ${highPercent} %, ${number - 1} images pulled`,
        Math.floor(percent / 10),
      );
      if (highMarkCrossed(subscriber) !== undefined || percent >= highPercent) break;
      if (number > 40) throw new Error(`40 images pulled and only ${percent} % used`);
      const image = await stack.pushImage({ name: `demo/batch-${number}`, tag: '1', sizeMb: 20 });
      await images.pullImage({ image: { image: image.reference } });
      last = image.reference;
      await pause(400);
    }
    const exceeded = await eventually(() => highMarkCrossed(subscriber), {
      timeoutMs: 60_000,
      what: 'ThresholdExceeded at the subscriber',
    });
    const { filesystem, bytesToFree } = exceeded.data as {
      filesystem: { usedPercent: number; capacityBytes: number };
      bytesToFree: number;
    };
    observations.saw(promised.threshold);
    screen.line(
      `ThresholdExceeded: ${filesystem.usedPercent} % of ${mebibytes(filesystem.capacityBytes)} used, ${mebibytes(bytesToFree)} to free`,
    );
    return last;
  } finally {
    images.close();
  }
}

/** Returns the name of an image that went. */
async function showCollection(
  nats: NatsConnection,
  { root }: DemoRuntime,
  subscriber: Subscriber,
): Promise<string> {
  screen.chapter('The collection');
  const collected = await eventually(() => subscriber.first('GarbageCollected'), {
    timeoutMs: 60_000,
    what: 'GarbageCollected at the subscriber',
  });
  const { askedBytes, expectedBytes, measuredBytes, after, durationMs } = collected.data as {
    askedBytes: number;
    expectedBytes: number;
    measuredBytes: number;
    after: { usedPercent: number };
    durationMs: number;
  };
  // The worker itself explains its last collection, image by image.
  const { lastCollection } = await sendCommand(
    nats,
    node,
    gcWorker.status,
    {},
    { timeoutMs: 20_000 },
  );
  const images = lastCollection?.images ?? [];
  screen.table(
    ['result', 'image', 'rule', 'why'],
    images.map(({ result, repoTags, imageId, rule, why }) => [
      result,
      repoTags[0] ?? imageId.slice(0, 19),
      rule,
      why,
    ]),
  );
  observations.expect(
    promised.collected,
    images.some(({ result }) => result === 'removed') &&
      images.every(({ rule, why }) => rule !== '' && why !== ''),
    'nothing was removed, or an image has no rule',
  );
  observations.expect(promised.measured, measuredBytes > 0, 'nothing was freed by measurement');
  screen.line(
    `asked ${mebibytes(askedBytes)}, expected ${mebibytes(expectedBytes)} by size, measured ${mebibytes(measuredBytes)} on the file system`,
  );
  screen.line(
    `${after.usedPercent} % used after ${durationMs} ms (now ${await usedPercent(root)} %)`,
  );
  const removed = images.filter(({ result }) => result === 'removed');
  return removed.flatMap(({ repoTags }) => repoTags).at(-1) ?? '';
}

async function showKept(
  stack: Stack,
  imageSocket: string,
  kept: { inUse: string; pinned: string; recent: string },
): Promise<void> {
  const images = connectImageService({ endpoint: `unix://${imageSocket}` });
  try {
    const { images: present } = await images.listImages({});
    const tags = new Set(present.flatMap((image) => image.repoTags));
    observations.expect(promised.keptInUse, tags.has(kept.inUse), `${kept.inUse} is gone`);
    observations.expect(promised.keptPinned, tags.has(kept.pinned), `${kept.pinned} is gone`);
    observations.expect(promised.keptRecent, tags.has(kept.recent), `${kept.recent} is gone`);
  } finally {
    images.close();
  }
}

/** Returns the name of an image that the collection removed. */
async function demo(name: RuntimeName, stack: Stack, undo: Undo): Promise<string> {
  const runtime = await prepareRuntime(name, stack, undo);
  screen.line(
    `${runtime.title} on a file system of ${filesystemMb} MB, nats-server, an open and a private registry`,
  );
  const subscriber = startSubscriber(stack.nats.url, ({ app, name, sequence, subject }) => {
    if (filling && name.startsWith('Image')) return; // the progress line counts those
    screen.line(`  event received: ${name} from ${app} #${sequence}, ${subject.slice(0, 60)}`);
  });
  undo.push(() => subscriber.stop());
  const { imageSocket, runtimeSocket } = await startServices(stack, runtime, undo);
  screen.line('image-service, runtime-gateway, gc-worker: three processes, ready');
  const nats = await connect({ servers: stack.nats.url });
  undo.push(() => nats.close());

  await showPulls(stack, imageSocket);
  const inUse = await showPod(stack, runtimeSocket, imageSocket);

  const toolbox = await stack.pushImage({ name: 'ops/toolbox', tag: 'stable', sizeMb: 15 });
  const rule = await runtime.pullKept(toolbox.reference);
  screen.line(`${toolbox.reference} pulled by somebody else; the operator keeps it: ${rule}`);

  filling = true;
  const recent = await fill(stack, runtime, imageSocket, subscriber);
  filling = false;
  const removed = await showCollection(nats, runtime, subscriber);
  await showKept(stack, imageSocket, {
    inUse,
    pinned: toolbox.reference,
    recent,
  });

  screen.chapter('What the subscriber process received');
  const counts = [...subscriber.counts()].map(([name, count]) => `${name} ${count}`);
  screen.line(counts.join(', '));
  const wanted = [
    'ImagePulled',
    'ImagePullFailed',
    'ImageDetected',
    'PodSandboxStarted',
    'ContainerCreated',
    'ContainerStarted',
    'ThresholdExceeded',
    'ImageRemoved',
    'GarbageCollected',
  ];
  const missing = wanted.filter((name) => subscriber.first(name) === undefined);
  observations.expect(promised.events, missing.length === 0, `missing: ${missing.join(', ')}`);
  return removed;
}

/** What of the stack is still on this machine: its folder, its mounts, processes that name it. */
async function leftovers({ dir }: Stack): Promise<string[]> {
  const home = path.dirname(dir);
  const mounts = (await readFile('/proc/mounts', 'utf8'))
    .split('\n')
    .flatMap((line) => line.split(' ')[1] ?? [])
    .filter((mountpoint) => mountpoint.startsWith(`${home}/`));
  const processes: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(home)) processes.push(`process ${pid}`);
  }
  return [...(existsSync(home) ? [home] : []), ...mounts, ...processes];
}

const help = `usage: npm run demo [-- --runtime ${runtimeNames.join('|')}] [--keep]

Shows the suite at work on a real containerd (default), or on a real Docker Engine through docker-shim.
--keep leaves all of it up in the end, for the commands that it prints, until Ctrl-C.
`;

/** What the command line asks for; undefined when it asks for help. */
function askedFor(): { runtime: RuntimeName; keep: boolean } | undefined {
  const { values } = parseArgs({
    options: {
      runtime: { type: 'string', default: 'containerd' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const name = runtimeNames.find((one) => one === values.runtime);
  if (name === undefined) {
    throw new RangeError(`--runtime is ${values.runtime}, must be ${runtimeNames.join(' or ')}`);
  }
  return { runtime: name, keep: values.keep };
}

/** The services stay until Ctrl-C. */
async function keepUp(stack: Stack, removed: string): Promise<void> {
  screen.chapter('Try these in another terminal');
  for (const command of commandsToTry(removed, socketFolder(stack))) screen.line(command);
  screen.line('Events as they come, by the example for consumers:');
  screen.line(
    `node tools/run-ts.mjs examples/event-subscriber/main.ts --nats ${new URL(stack.nats.url).host}`,
  );
  screen.line('Everything stays up until Ctrl-C.');
  await interrupted();
}

async function main(): Promise<void> {
  let asked: ReturnType<typeof askedFor>;
  try {
    asked = askedFor();
  } catch (error) {
    process.stderr.write(`${errorMessage(error)}\n\n${help}`);
    process.exitCode = 64;
    return;
  }
  if (asked === undefined) {
    process.stdout.write(help);
    return;
  }
  screen.chapter('The stack');
  const undo: Undo = [];
  let failure: unknown;
  let stack: Stack | undefined;
  let removed = '';
  try {
    stack = await startServers(asked.runtime, filesystemMb);
    removed = await demo(asked.runtime, stack, undo);
    if (asked.keep) await keepUp(stack, removed);
  } catch (error) {
    failure = error;
    if (stack !== undefined) screen.line(stack.logs({ linesEach: 8 }));
  }
  for (const step of undo.reverse()) {
    await step().catch((error: unknown) => {
      failure ??= error;
    });
  }
  await stack?.down();
  const left = stack === undefined ? [] : await leftovers(stack);
  if (left.length === 0) observations.saw(promised.clean);
  else failure ??= new Error(`left behind: ${left.join(', ')}`);

  screen.chapter('Seen');
  for (const promise of observations.seen) screen.line(`yes  ${promise}`);
  for (const promise of observations.open) screen.line(`NO   ${promise}`);
  screen.line(`${((performance.now() - began) / 1000).toFixed(1)} s`);
  if (failure !== undefined) screen.line(`the demo failed: ${errorMessage(failure)}`);
  else if (!asked.keep) {
    screen.chapter('On a node of yours, or here with npm run demo -- --keep');
    for (const command of commandsToTry(removed)) screen.line(command);
  }
  process.exitCode = failure === undefined && observations.open.length === 0 ? 0 : 1;
}

void main();
