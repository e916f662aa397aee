import { connect } from 'nats';
import { Kubelet, type Pod } from '../kubelet';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

const namespace = 'collection';

/**
 * kubelet has no command for a collection and looks at its marks every five minutes. It deletes
 * every unused image as soon as it takes the disk for too full, and ends no pods of its own
 * manifests for it.
 */
const collectsAtOnce = {
  imageMinimumGCAge: '1ns',
  evictionHard: { 'imagefs.available': '99.9%' },
  evictionPressureTransitionPeriod: '1s',
};

/** Asks gc-worker for a collection now. Only where the way has one. */
async function collectByWorker(lab: Lab): Promise<void> {
  const nats = await connect({ servers: lab.stack.nats.url });
  try {
    const subject = `stowage.cmd.${Kubelet.node}.gc-worker.run`;
    const reply = await nats.request(subject, '{}', { timeout: 60_000 });
    const answer = reply.json<{ ok: boolean; error?: { message: string } }>();
    if (!answer.ok) throw new Error(`gc-worker: ${answer.error?.message ?? 'no reason'}`);
  } finally {
    await nats.close();
  }
}

/** Who collects: kubelet alone, gc-worker with kubelet's collection off, or both at once. */
type Collector = 'kubelet' | 'gc-worker' | 'both';

async function collect(lab: Lab, who: Collector): Promise<string> {
  const names = ['used', 'idle', 'idle-too'].map((name) => `${who}-${name}`);
  for (const name of names) {
    const { reference } = await lab.stack.pushImage({ name, tag: '1', labels: { name } });
    if (!name.endsWith('-used')) await lab.pullImage(reference);
    else {
      const pod: Pod = {
        metadata: { name: `${who}-pod`, namespace },
        spec: {
          terminationGracePeriodSeconds: 2,
          containers: [
            {
              ...{ name: 'main', image: reference },
              command: ['sh', '-c', "trap 'exit 0' TERM; while :; do sleep 0.2; done"],
            },
          ],
        },
      };
      lab.addPod(pod);
      await lab.untilRunning(pod.metadata.name);
    }
  }
  const hasWorker = lab.way.services.includes('gc-worker');
  if (who !== 'kubelet' && hasWorker) {
    await lab.restartService('gc-worker', 'stop', {
      STOWAGE_COMMANDS: 'plan,run,images,status',
      STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '1',
      STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: '0',
      STOWAGE_IMAGE_MINIMUM_GC_AGE: '0s',
    });
    await collectByWorker(lab);
  }
  if (who !== 'gc-worker' || !hasWorker) await lab.restartKubelet({ config: collectsAtOnce });
  const left = async (): Promise<boolean> => (await lab.imagesAmong(names)) === `${who}-used`;
  await lab.until('the unused images to go', left, 60_000).catch(() => undefined);
  const result = await lab.imagesAmong(names);
  if (hasWorker && who !== 'kubelet') await lab.restartService('gc-worker');
  await lab.restartKubelet();
  return result;
}

export const collection: Scenario = {
  name: 'collection',
  text: 'unused images are collected by kubelet, by gc-worker with that of kubelet off, and by both at once (bare: by kubelet)',
  expected: {
    'kubelet collects': 'kubelet-used',
    'gc-worker collects': 'gc-worker-used',
    'both collect': 'both-used',
    'containers of used images': 'go on',
  },
  async play(lab) {
    const seen: Record<string, string> = {};
    seen['kubelet collects'] = await collect(lab, 'kubelet');
    seen['gc-worker collects'] = await collect(lab, 'gc-worker');
    seen['both collect'] = await collect(lab, 'both');
    const states = await Promise.all(
      (['kubelet', 'gc-worker', 'both'] as const).map((who) =>
        lab.stateOf(`${who}-pod`, 'Running; main: running, ready', 10_000),
      ),
    );
    const goOn = states.every((state) => state === 'Running; main: running, ready');
    seen['containers of used images'] = goOn ? 'go on' : states.join('\n');
    return seen;
  },
};
