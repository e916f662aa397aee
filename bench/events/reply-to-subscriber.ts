import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { eventually, spawnApp, startStack, type AppProcess } from '@stowage/testing';
import path from 'node:path';
import { sharedMs, startProcess, type BenchProcess } from './measure';

/**
 * From the reply of a call, as its client sees it, to the event in another process, milliseconds.
 */
export interface ReplyTimes {
  readonly call: string;
  readonly event: string;
  readonly times: number[];
}

/** When each event about an object came to the subscriber. */
class Arrivals {
  readonly #at = new Map<string, number>();
  #read = 0;

  constructor(private readonly subscriber: BenchProcess) {}

  /** Waits for the event. */
  async of(name: string, subject: string): Promise<number> {
    const key = `${name} ${subject}`;
    return eventually(() => this.#known(key), { what: key, timeoutMs: 30_000 });
  }

  #known(key: string): number | undefined {
    const { lines } = this.subscriber;
    for (; this.#read < lines.length; this.#read += 1) {
      const [name, subject, ms] = (lines[this.#read] ?? '').split(' ');
      if (ms !== undefined) this.#at.set(`${name} ${subject}`, Number(ms));
    }
    return this.#at.get(key);
  }
}

/**
 * Pods, containers and pulls through the built runtime-gateway and image-service on a real
 * containerd and NATS, one after the other. Beside them what one ContainerStatus takes, which the
 * gateway asks for after StartContainer and StopContainer: only the runtime knows start time and
 * exit code.
 */
export async function replyToSubscriber(
  calls: number,
): Promise<{ replies: ReplyTimes[]; statusTimes: number[] }> {
  const stack = await startStack();
  const apps: AppProcess[] = [];
  const subscriber = startProcess('subscriber-process.ts', [stack.nats.url]);
  const statusTimes: number[] = [];
  const measured = new Map<string, ReplyTimes>();
  const arrivals = new Arrivals(subscriber);

  /** Makes a call and notes how long after its reply the event came. */
  async function time<T>(
    call: string,
    event: string,
    make: () => Promise<T>,
    subjectOf: (reply: T) => string,
  ): Promise<T> {
    const reply = await make();
    const repliedMs = sharedMs();
    const arrivedMs = await arrivals.of(event, subjectOf(reply));
    const times = measured.get(call)?.times ?? [];
    measured.set(call, { call, event, times });
    times.push(arrivedMs - repliedMs);
    return reply;
  }

  try {
    const common = {
      STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
      STOWAGE_NATS_SERVERS: stack.nats.url,
      STOWAGE_NODE_NAME: 'bench',
    };
    const socket = (name: string) => path.join(stack.dir, `${name}.sock`);
    const start = async (app: string, env: Record<string, string> = {}) => {
      const own = { STOWAGE_LISTEN: socket(app), STOWAGE_STATE_DIR: path.join(stack.dir, app) };
      apps.push(await spawnApp(app, { env: { ...common, ...own, ...env } }));
    };
    await start('runtime-gateway', { STOWAGE_LISTEN_READONLY: '' });
    await start('image-service');
    const runtime = connectRuntimeService({ endpoint: `unix://${socket('runtime-gateway')}` });
    const images = connectImageService({ endpoint: `unix://${socket('image-service')}` });
    const direct = connectRuntimeService({ endpoint: stack.containerd.endpoint });
    const { reference, imageId } = await stack.pushImage({ name: 'bench/app' });
    await eventually(() => subscriber.lines[0] === 'listening', { what: 'the subscriber' });
    await images.pullImage({ image: { image: reference } });
    await arrivals.of('ImagePulled', imageId);

    for (let i = 0; i < calls; i += 1) {
      const metadata = { name: `p-${i}`, namespace: 'bench', uid: `u-${i}`, attempt: 0 };
      const config = { metadata, linux: {} };
      const { podSandboxId } = await time(
        'RunPodSandbox',
        'PodSandboxStarted',
        () => runtime.runPodSandbox({ config }),
        (reply) => reply.podSandboxId,
      );
      const { containerId } = await time(
        'CreateContainer',
        'ContainerCreated',
        () =>
          runtime.createContainer({
            podSandboxId,
            config: {
              metadata: { name: 'main', attempt: 0 },
              image: { image: imageId },
              command: ['/bin/sh', '-c', 'trap "exit 0" TERM; sleep 3600 & wait'],
              linux: {},
            },
            sandboxConfig: config,
          }),
        (reply) => reply.containerId,
      );
      const ofContainer = () => containerId;
      const ofPod = () => podSandboxId;
      await time(
        'StartContainer',
        'ContainerStarted',
        () => runtime.startContainer({ containerId }),
        ofContainer,
      );
      const askedMs = sharedMs();
      await direct.containerStatus({ containerId });
      statusTimes.push(sharedMs() - askedMs);
      const stop = () => runtime.stopContainer({ containerId, timeout: 1n });
      await time('StopContainer', 'ContainerStopped', stop, ofContainer);
      const removeContainer = () => runtime.removeContainer({ containerId });
      await time('RemoveContainer', 'ContainerRemoved', removeContainer, ofContainer);
      const stopPod = () => runtime.stopPodSandbox({ podSandboxId });
      await time('StopPodSandbox', 'PodSandboxStopped', stopPod, ofPod);
      const removePod = () => runtime.removePodSandbox({ podSandboxId });
      await time('RemovePodSandbox', 'PodSandboxRemoved', removePod, ofPod);
    }
    for (let i = 0; i < calls; i += 1) {
      const image = await stack.pushImage({ name: `bench/pull-${i}` });
      const pull = () => images.pullImage({ image: { image: image.reference } });
      await time('PullImage', 'ImagePulled', pull, () => image.imageId);
      await images.removeImage({ image: { image: image.imageId } });
    }
    for (const client of [runtime, images, direct]) client.close();
  } finally {
    subscriber.child.kill('SIGTERM');
    await Promise.all(apps.map((app) => app.kill()));
    await stack.down();
  }
  return { replies: [...measured.values()], statusTimes };
}
