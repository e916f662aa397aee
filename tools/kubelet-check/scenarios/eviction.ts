import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { subscribeEvents } from '@stowage/testing';
import { Cluster, named, onePod, waitForEnd, type ApiPod, type Node } from '../cluster';
import { ofStowage } from '../compare';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

const namespace = 'shop';
const running = 'Running; main: running, ready';

/** How much each takes of the image file system, MiB. */
const idle = ['idle-1', 'idle-2', 'idle-3'];
const idleMb = 40;
const fileSystemMb = 256;

/**
 * Less than that is too little for kubelet, MiB: more than the half is free with the unused images,
 * less with the first file as well.
 */
const neededMb = 96;
/**
 * Files that a container writes beside its image, MiB: the first is no harm without the unused
 * images, both together are.
 */
const files = { first: 48, second: 112 };

const variant = {
  config: {
    evictionHard: { 'imagefs.available': `${neededMb}Mi` },
    evictionPressureTransitionPeriod: '20s',
    // What lay there when kubelet started may go at once; nothing else is unused.
    imageMinimumGCAge: '1ns',
  },
};

/**
 * kubelet ends no static pods for want of disk, so it needs an API server. It knows only images
 * that it has found at its start or at one of its looks every five minutes: those that are to go
 * are there before.
 */
export const eviction: Scenario = {
  name: 'eviction',
  text: 'the image file system runs full: unused images go first, then the pod that fills it',
  needs: 'api-server',
  imageFileSystemMb: fileSystemMb,
  expected: {
    'images before': ['app', 'other', ...idle].join(', '),
    'condition while images are in the way': /^True KubeletHasDiskPressure/,
    'images that are left': 'app, other',
    'pods after the images went': `${running}\n${running}`,
    'condition while a pod is in the way': /^True KubeletHasDiskPressure/,
    'the pod that fills it: state': 'Failed Evicted',
    'the pod that fills it: message':
      /^The node was low on resource: ephemeral-storage\..* Container main was using QUANTITY/,
    'the other pod': running,
    'a pod that comes meanwhile: state': 'Failed Evicted',
    'condition afterwards': /^False KubeletHasNoDiskPressure/,
    'a pod that comes afterwards': running,
    [`${ofStowage}removals of the unused images`]: idle.join(', '),
    [`${ofStowage}ends of the container that fills it`]: '1',
  },
  async play(lab) {
    for (const name of idle) {
      const { reference } = await lab.stack.pushImage({
        ...{ name, tag: '1', labels: { name } },
        layers: [{ seed: name, sizeMb: idleMb / lab.runtime.layerCopies }],
      });
      await lab.pullImage(reference);
    }
    const events = await subscribeEvents(lab.stack.nats.url);
    try {
      const seen = await Cluster.with(lab, (cluster) => fill(cluster), variant);
      if (lab.way.services.length === 0) return seen;
      const removed = (): string =>
        events
          .named('ImageRemoved')
          .flatMap(({ data }) => data.repoTags)
          .map((tag) => /\/([^/:]+):[^/]*$/.exec(tag)?.[1] ?? tag)
          .filter((name) => idle.includes(name))
          .sort()
          .join(', ');
      const ended = (): number =>
        events.named('ContainerStopped').filter(({ data }) => data.pod?.name === 'fills').length;
      await lab.until('the events', () => removed() !== '' && ended() > 0).catch(() => undefined);
      return {
        ...seen,
        [`${ofStowage}removals of the unused images`]: removed(),
        [`${ofStowage}ends of the container that fills it`]: String(ended()),
      };
    } finally {
      await events.close();
    }
  },
};

async function fill(cluster: Cluster): Promise<Record<string, string>> {
  const { lab } = cluster;
  const { app, other } = lab.images;
  const signs = path.join(lab.stack.dir, 'signs');
  mkdirSync(signs, { recursive: true });
  await cluster.namespace(namespace);
  await cluster.addPod({ namespace, name: 'fills', spec: filling(app.reference, signs) });
  const quiet = onePod(other.reference, { script: waitForEnd });
  await cluster.addPod({ namespace, name: 'quiet', spec: quiet });
  for (const name of ['fills', 'quiet']) await mustRun(cluster, name);
  const names = ['app', 'other', ...idle];
  const seen: Record<string, string> = { 'images before': await lab.imagesAmong(names) };

  await write(lab, signs, 'first');
  seen['condition while images are in the way'] = pressure(await untilPressure(cluster, 'True'));
  const areGone = async (): Promise<boolean> => (await lab.imagesAmong(idle)) === '';
  await lab.until('the unused images to go', areGone).catch(() => undefined);
  seen['images that are left'] = await lab.imagesAmong(names);
  seen['pods after the images went'] = [
    await cluster.stateOf(namespace, 'fills', running, 5_000),
    await cluster.stateOf(namespace, 'quiet', running, 5_000),
  ].join('\n');
  await untilPressure(cluster, 'False');

  await write(lab, signs, 'second');
  seen['condition while a pod is in the way'] = pressure(await untilPressure(cluster, 'True'));
  Object.assign(seen, named('the pod that fills it', await endOf(cluster, 'fills')));
  await cluster.addPod({ namespace, name: 'meanwhile', spec: quiet });
  Object.assign(seen, named('a pod that comes meanwhile', await endOf(cluster, 'meanwhile')));
  seen['condition afterwards'] = pressure(await untilPressure(cluster, 'False'));
  await cluster.addPod({ namespace, name: 'afterwards', spec: quiet });
  seen['a pod that comes afterwards'] = await cluster.stateOf(namespace, 'afterwards', running);
  seen['the other pod'] = await cluster.stateOf(namespace, 'quiet', running, 5_000);
  return seen;
}

/** Writes each of its files beside its image as soon as that is asked for. */
function filling(image: string, signs: string): Record<string, unknown> {
  const writes = Object.entries(files).map(
    ([name, sizeMb]) =>
      `while [ ! -e /signs/${name} ]; do sleep 0.2; done; ` +
      `dd if=/dev/zero of=/${name} bs=1M count=${sizeMb}; touch /signs/${name}-done`,
  );
  return onePod(image, {
    script: `trap 'exit 3' TERM; ${writes.join('; ')}; while :; do sleep 1; done`,
    container: { volumeMounts: [{ name: 'signs', mountPath: '/signs' }] },
    pod: {
      restartPolicy: 'Never',
      volumes: [{ name: 'signs', hostPath: { path: signs } }],
    },
  });
}

async function write(lab: Lab, signs: string, name: keyof typeof files): Promise<void> {
  writeFileSync(path.join(signs, name), '');
  await lab.until(`${name} to be written`, () => existsSync(path.join(signs, `${name}-done`)));
}

async function mustRun(cluster: Cluster, name: string): Promise<void> {
  const state = await cluster.stateOf(namespace, name, running);
  if (state !== running) throw new Error(`${name} is ${state}`);
}

/**
 * How a pod ends, and why. How its container ended is not always known: kubelet removes what is
 * left of an evicted pod at once.
 */
async function endOf(cluster: Cluster, name: string): Promise<Record<string, string>> {
  let last: ApiPod | undefined;
  const hasEnded = async (): Promise<boolean> => {
    last = await cluster.pod(namespace, name);
    return ['Failed', 'Succeeded'].includes(last?.status?.phase ?? '');
  };
  await cluster.lab.until(`${name} to end`, hasEnded, 60_000).catch(() => undefined);
  cluster.lab.signal.throwIfAborted();
  if (last === undefined) return { state: 'is not there' };
  const { phase = '', reason = '', message = '' } = last.status ?? {};
  return { state: `${phase} ${reason}`, message: withoutQuantities(message) };
}

const diskPressure = ({ status }: Node) =>
  status?.conditions?.find(({ type }) => type === 'DiskPressure');

/**
 * kubelet looks at its file systems every 10 s, and reports a condition as soon as its node's
 * status is due.
 */
function untilPressure(cluster: Cluster, wanted: 'True' | 'False'): Promise<Node> {
  return cluster.lab.until(
    `DiskPressure to be ${wanted}`,
    async () => {
      const node = await cluster.node();
      return node !== undefined && diskPressure(node)?.status === wanted && node;
    },
    120_000,
  );
}

function pressure(node: Node): string {
  const { status, reason, message } = diskPressure(node) ?? {};
  return `${status ?? ''} ${reason ?? ''}: ${message ?? ''}`;
}

const withoutQuantities = (text: string): string =>
  text.replace(/\b\d+(?:\.\d+)?(?:[KMG]i?)?\b/g, 'QUANTITY');
