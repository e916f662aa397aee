import { readFileSync } from 'node:fs';
import path from 'node:path';
import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { spawnApp, startStack, type AppProcess, type Stack } from '@stowage/testing';
import { playCalls, type Outcome } from './play-calls';
import type { Recording } from './recorded-call';

// What a kubelet has called for pods of several kinds, and what came of it:
// `npm run kubelet:check -- --record FILE` writes it.
const recordingText = readFileSync(path.join(__dirname, 'recording.json'), 'utf8');
const recording = JSON.parse(recordingText) as Recording;

describe('the calls of a kubelet, played again', () => {
  let stack: Stack;
  const apps: AppProcess[] = [];
  const digests = new Map<string, string>();

  beforeAll(async () => {
    stack = await startStack();
    for (const name of ['app', 'other']) {
      const { digest } = await stack.pushImage({ name, tag: ['1', '2'], labels: { name } });
      const recorded = new RegExp(`/${name}@(sha256:[0-9a-f]{64})`).exec(recordingText)?.[1];
      if (recorded !== undefined) digests.set(recorded, digest);
    }
  });

  afterAll(async () => {
    for (const app of apps) await app.kill();
    await stack.down();
  });

  const start = async (name: string, env: Record<string, string>): Promise<void> => {
    const usual = {
      STOWAGE_NODE_NAME: 'node',
      STOWAGE_STATE_DIR: path.join(stack.dir, name),
      STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
      STOWAGE_NATS_SERVERS: stack.nats.url,
    };
    apps.push(await spawnApp(name, { env: { ...usual, ...env } }));
  };
  const play = async (runtime: string, image: string): Promise<Outcome[]> => {
    await removeAll(stack);
    return playCalls(recording.calls, {
      ...{ runtime, image },
      registry: stack.registry.open.host,
      dir: path.join(stack.dir, 'kubelet'),
      digests,
    });
  };

  it('come to the same on the runtime itself, through both sockets, and through one', async () => {
    const { endpoint } = stack.containerd;
    const own = await play(endpoint, endpoint);
    // Enough to compare: every kind of call, pods that ran and calls that failed.
    expect(new Set(own.map(({ what }) => what.replace(/^\d+ /, '')))).toEqual(
      new Set(recording.calls.map(({ method }) => method)),
    );
    expect(own.map(({ status }) => status)).toEqual(recording.calls.map(({ status }) => status));

    const image = path.join(stack.dir, 'image.sock');
    const runtime = path.join(stack.dir, 'runtime.sock');
    await start('image-service', {
      STOWAGE_LISTEN: image,
      STOWAGE_DOCKER_CONFIG_DIRS: '',
      STOWAGE_DOCKERCFG_DIRS: '',
    });
    await start('runtime-gateway', { STOWAGE_LISTEN: runtime, STOWAGE_LISTEN_READONLY: '' });
    const through = await play(`unix://${runtime}`, `unix://${image}`);
    expect(withoutAddition(through)).toEqual(own);

    const one = path.join(stack.dir, 'one.sock');
    await start('runtime-gateway', {
      STOWAGE_LISTEN: one,
      STOWAGE_LISTEN_READONLY: '',
      STOWAGE_STATE_DIR: path.join(stack.dir, 'routing'),
      STOWAGE_IMAGE_ROUTING: 'true',
      STOWAGE_IMAGE_SERVICE_ENDPOINT: `unix://${image}`,
    });
    expect(withoutAddition(await play(`unix://${one}`, `unix://${one}`))).toEqual(own);
  }, 240_000);
});

/** image-service adds to the message of a failed pull what it has tried. */
const withoutAddition = (outcomes: Outcome[]): Outcome[] =>
  outcomes.map((one) => ({ ...one, result: one.result.replace(/ \[tried: [^\]]*\]/g, '') }));

/** Images too: a recording begins without them. */
async function removeAll(stack: Stack): Promise<void> {
  const runtime = connectRuntimeService({ endpoint: stack.containerd.endpoint });
  const images = connectImageService({ endpoint: stack.containerd.endpoint });
  try {
    for (const { id } of (await runtime.listPodSandbox({})).items) {
      await runtime.stopPodSandbox({ podSandboxId: id });
      await runtime.removePodSandbox({ podSandboxId: id });
    }
    for (const image of (await images.listImages({})).images) {
      const isOfPods = image.repoTags.every((tag) => !tag.startsWith('registry.k8s.io/'));
      if (isOfPods) await images.removeImage({ image: { image: image.id } });
    }
  } finally {
    runtime.close();
    images.close();
  }
}
