/**
 * The demo: the three services on a real containerd with a small file system. Everything that it says it saw comes
 * from the services themselves: answers on their sockets, replies on NATS, and lines of a separate subscriber process.
 */
import { statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type NatsConnection } from 'nats';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { errorMessage } from '@stowage/errors';
import { eventually, spawnApp, startStack, type AppProcess, type Stack } from '@stowage/testing';
import { trackObservations } from './observations';
import { bar, createScreen, mebibytes } from './screen';
import { startSubscriber, type Subscriber } from './subscriber';

const node = 'demo-node';
const filesystemMb = 600;
const highPercent = 80;
const lowPercent = 70;

const promised = {
  refused: 'a pull without credentials refused',
  accepted: 'the same pull with credentials accepted',
  events: 'events received by a separate subscriber process',
  pod: 'a pod and a container run through the gateway',
  threshold: 'the file system over its mark, and ThresholdExceeded',
  collected: 'a collection with a verdict and a rule for every image',
  measured: 'expected and measured bytes side by side',
  keptInUse: "the container's image kept",
  keptPinned: 'the pinned image kept',
  keptRecent: 'the recent image kept',
  clean: 'nothing left behind',
} as const;

interface PlanReply {
  planId: string;
  images: {
    imageId: string;
    repoTags: string[];
    verdict: 'keep' | 'remove';
    rule: string;
    why: string;
    expectedBytes: number;
  }[];
}

const screen = createScreen(process.stdout);
const observations = trackObservations(Object.values(promised));
const began = performance.now();

async function ask<T>(nats: NatsConnection, subject: string, input: unknown = {}): Promise<T> {
  const message = await nats.request(`stowage.cmd.${node}.${subject}`, JSON.stringify(input), {
    timeout: 20_000,
  });
  const reply = message.json<{ ok: true; result: T } | { ok: false; error: { message: string } }>();
  if (!reply.ok) throw new Error(`${subject}: ${reply.error.message}`);
  return reply.result;
}

async function usedPercent(mountpoint: string): Promise<number> {
  const { bavail, blocks } = await statfs(mountpoint);
  return 100 - Math.trunc((bavail * 100) / blocks);
}

interface Services {
  imageSocket: string;
  runtimeSocket: string;
  apps: AppProcess[];
}

async function startServices(stack: Stack): Promise<Services> {
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
    STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
    STOWAGE_NATS_SERVERS: stack.nats.url,
  };
  const imageSocket = file('image.sock');
  const runtimeSocket = file('runtime.sock');
  const apps = await Promise.all([
    spawnApp('image-service', {
      env: { ...common, STOWAGE_LISTEN: imageSocket, STOWAGE_STATE_DIR: file('image-service') },
    }),
    spawnApp('runtime-gateway', {
      env: { ...common, STOWAGE_LISTEN: runtimeSocket, STOWAGE_STATE_DIR: file('runtime-gateway') },
    }),
    spawnApp('gc-worker', {
      args: ['--kubelet-config', kubeletConfig],
      env: {
        ...common,
        STOWAGE_STATE_DIR: file('gc-worker'),
        STOWAGE_DISK_CHECK_INTERVAL: '500ms',
        STOWAGE_EXEMPT_IMAGES: '**/toolbox:*',
      },
    }),
  ]);
  return { imageSocket, runtimeSocket, apps };
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
    const auth = { username, password, serverAddress: host };
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
  const image = await stack.pushImage({ name: 'demo/web', tag: '2.1', sizeMb: 30 });
  const images = connectImageService({ endpoint: `unix://${imageSocket}` });
  const runtime = connectRuntimeService({ endpoint: `unix://${runtimeSocket}` });
  try {
    const { imageRef } = await images.pullImage({ image: { image: image.reference } });
    const config = {
      metadata: { name: 'web-0', namespace: 'demo', uid: 'f7f1c1de-0001', attempt: 0 },
      logDirectory: stack.dir,
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
    return image.reference;
  } finally {
    images.close();
    runtime.close();
  }
}

async function fill(stack: Stack, imageSocket: string, subscriber: Subscriber): Promise<void> {
  screen.chapter(`Images until the file system passes ${highPercent} %`);
  const images = connectImageService({ endpoint: `unix://${imageSocket}` });
  try {
    for (let number = 1; ; number++) {
      const percent = await usedPercent(stack.containerd.root);
      screen.progress(
        `${bar(percent / 100)} ${percent} % of ${filesystemMb} MB used, mark at ${highPercent} %, ${number - 1} images pulled`,
        Math.floor(percent / 10),
      );
      if (subscriber.first('ThresholdExceeded') !== undefined || percent >= highPercent) break;
      if (number > 40) throw new Error(`40 images pulled and only ${percent} % used`);
      const image = await stack.pushImage({ name: `demo/batch-${number}`, tag: '1', sizeMb: 20 });
      await images.pullImage({ image: { image: image.reference } });
      await pause(400);
    }
    const exceeded = await eventually(() => subscriber.first('ThresholdExceeded'), {
      timeoutMs: 20_000,
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
  } finally {
    images.close();
  }
}

async function showCollection(
  nats: NatsConnection,
  stack: Stack,
  subscriber: Subscriber,
): Promise<void> {
  screen.chapter('The collection');
  const collected = await eventually(() => subscriber.first('GarbageCollected'), {
    timeoutMs: 30_000,
    what: 'GarbageCollected at the subscriber',
  });
  const result = collected.data as {
    planId: string;
    askedBytes: number;
    expectedBytes: number;
    measuredBytes: number;
    removed: { imageId: string; repoTags: string[]; sizeBytes: number; reason: string }[];
    keptByReason: Record<string, number>;
    after: { usedPercent: number };
    durationMs: number;
  };
  // What is left is explained by the worker itself, image by image.
  const plan = await ask<PlanReply>(nats, 'gc-worker.plan');
  const rows = [
    ...result.removed.map((image) => [
      'removed',
      shortName(image.repoTags, image.imageId),
      image.reason,
      mebibytes(image.sizeBytes),
    ]),
    ...plan.images.map((image) => [
      image.verdict === 'keep' ? 'kept' : image.verdict,
      shortName(image.repoTags, image.imageId),
      image.why,
      mebibytes(image.expectedBytes),
    ]),
  ];
  screen.table(['verdict', 'image', 'why', 'size'], rows);
  observations.expect(
    promised.collected,
    result.removed.length > 0 && plan.images.every((image) => image.rule !== ''),
    'nothing removed, or an image without a rule',
  );
  observations.expect(
    promised.measured,
    result.measuredBytes > 0,
    'nothing was freed by measurement',
  );
  screen.line(
    `asked ${mebibytes(result.askedBytes)}, expected ${mebibytes(result.expectedBytes)}, measured ${mebibytes(result.measuredBytes)}; ` +
      `${result.after.usedPercent} % used after ${result.durationMs} ms (now ${await usedPercent(stack.containerd.root)} %)`,
  );
}

function shortName(repoTags: readonly string[], imageId: string): string {
  return repoTags[0] ?? imageId.slice(0, 19);
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

async function demo(stack: Stack, undo: (() => Promise<unknown>)[]): Promise<void> {
  const { major, minor, patch } = stack.containerd.version;
  screen.line(
    `containerd ${major}.${minor}.${patch} on a file system of ${filesystemMb} MB, nats-server, an open and a private registry`,
  );
  const subscriber = await startSubscriber(stack.nats.url, (line) =>
    screen.line(`  event: ${line}`),
  );
  undo.push(() => subscriber.stop());
  const { imageSocket, runtimeSocket, apps } = await startServices(stack);
  undo.push(() => Promise.all(apps.map((app) => app.stop())));
  screen.line('image-service, runtime-gateway, gc-worker: three processes, ready');
  const nats = await connect({ servers: stack.nats.url });
  undo.push(() => nats.close());

  await showPulls(stack, imageSocket);
  const inUse = await showPod(stack, runtimeSocket, imageSocket);

  const toolbox = await stack.pushImage({ name: 'ops/toolbox', tag: 'stable', sizeMb: 15 });
  await stack.pullImage(toolbox.reference);
  await stack.containerd.ctr(
    'images',
    'label',
    toolbox.reference,
    'io.cri-containerd.pinned=pinned',
  );
  screen.line(
    `${toolbox.reference} pulled by somebody else; the operator keeps it: exempt rule **/toolbox:*`,
  );

  await fill(stack, imageSocket, subscriber);
  const recent = await stack.pushImage({ name: 'demo/just-pulled', tag: '1', sizeMb: 4 });
  await stack.pullImage(recent.reference);
  await showCollection(nats, stack, subscriber);
  await showKept(stack, imageSocket, {
    inUse,
    pinned: toolbox.reference,
    recent: recent.reference,
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
}

async function main(): Promise<void> {
  screen.chapter('The stack');
  const undo: (() => Promise<unknown>)[] = [];
  let failure: unknown;
  let stack: Stack | undefined;
  try {
    stack = await startStack({ filesystemMb });
    await demo(stack, undo);
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
  if (failure === undefined) observations.saw(promised.clean);

  screen.chapter('Seen');
  for (const promise of observations.seen) screen.line(`yes  ${promise}`);
  for (const promise of observations.open) screen.line(`NO   ${promise}`);
  screen.line(`${((performance.now() - began) / 1000).toFixed(1)} s`);
  if (failure !== undefined) screen.line(`the demo failed: ${errorMessage(failure)}`);
  process.exitCode = failure === undefined && observations.open.length === 0 ? 0 : 1;
}

void main();
