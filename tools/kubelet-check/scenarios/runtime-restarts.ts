import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Pod } from '../kubelet';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

const namespace = 'outage';
const running = 'Running; main: running, ready';
/** containerd 2 does not know any more how a container ended while it was killed. */
const endedMeanwhile = /^Failed; main: (Error 6|Unknown 255)$/;

const pod = ({ images }: Lab, name: string, script: string, more: object = {}): Pod => ({
  metadata: { name, namespace },
  spec: {
    terminationGracePeriodSeconds: 5,
    containers: [{ name: 'main', image: images.app.reference, command: ['sh', '-c', script] }],
    ...more,
  },
});
const wait = "trap 'exit 0' TERM; while :; do sleep 0.2; done";

async function identityOf(lab: Lab, name: string): Promise<string> {
  const [status] = (await lab.pod(name))?.status?.containerStatuses ?? [];
  return status?.containerID ?? 'none';
}

/**
 * Pods that something happens to: one that goes on, one that has ended before. Each scenario has
 * names of its own: kubelet still shows a pod of the scenario before while that is being removed.
 */
async function startPods(lab: Lab, lasting: string, ended: string): Promise<void> {
  lab.addPod(pod(lab, lasting, wait));
  lab.addPod(pod(lab, ended, 'exit 3', { restartPolicy: 'Never' }));
  await lab.untilRunning(lasting);
  await lab.stateOf(ended, 'Failed; main: Error 3');
}

export const runtimeRestart: Scenario = {
  name: 'runtime-restart',
  text: 'the runtime is stopped and started, then killed and started; what ends meanwhile is found',
  expected: {
    'a container that runs on': 'is the same',
    'a container that ended before': 'Failed; main: Error 3',
    'a container that ends while the runtime is away': endedMeanwhile,
    'a pod that is added while the runtime is away': running,
    'a pod that is removed while the runtime is away': 'is gone',
  },
  async play(lab) {
    await startPods(lab, 'lasting', 'ended');
    const sign = path.join(lab.stack.dir, 'end-now');
    rmSync(sign, { force: true });
    lab.addPod({
      metadata: { name: 'ends', namespace },
      spec: {
        restartPolicy: 'Never',
        volumes: [{ name: 'signs', hostPath: { path: lab.stack.dir } }],
        containers: [
          {
            ...{ name: 'main', image: lab.images.app.reference },
            command: ['sh', '-c', 'while [ ! -e /signs/end-now ]; do sleep 0.2; done; exit 6'],
            volumeMounts: [{ name: 'signs', mountPath: '/signs' }],
          },
        ],
      },
    });
    lab.addPod(pod(lab, 'removed', wait));
    for (const name of ['ends', 'removed']) await lab.untilRunning(name);
    const before = await identityOf(lab, 'lasting');
    await lab.runtime.stop();
    await lab.runtime.start();
    await lab.runtime.kill();
    writeFileSync(sign, '');
    lab.addPod(pod(lab, 'added', wait));
    lab.removePod('removed');
    await lab.untilNoticed();
    await lab.runtime.start();
    const seen: Record<string, string> = {
      'a pod that is added while the runtime is away': await lab.stateOf('added', running),
      'a container that ended before': await lab.stateOf('ended', 'Failed; main: Error 3'),
      'a container that ends while the runtime is away': await lab.stateOf('ends', endedMeanwhile),
    };
    const after = await identityOf(lab, 'lasting');
    seen['a container that runs on'] =
      after === before ? 'is the same' : `${before}, then ${after}`;
    const gone = await lab
      .until('it to be gone', () => lab.areGone(['removed']))
      .catch(() => false);
    seen['a pod that is removed while the runtime is away'] = gone ? 'is gone' : 'is there';
    return seen;
  },
};

const restartedOnce = /^Running; main: running, ready, 1 restart, before /;
const restartedTwice = /^Running; main: running, ready, 2 restarts, before /;

/** Without `live-restore`: what runs ends with the engine. */
export const engineRestart: Scenario = {
  name: 'engine-restart',
  text: 'the Docker Engine is restarted, then killed and started: kubelet starts anew what ended with it',
  needs: 'docker',
  expected: {
    'a container that ran': restartedOnce,
    'a container that ran, after the second time': restartedTwice,
    'a container that ended before': 'Failed; main: Error 3',
    'a pod that is added while the engine is away': running,
    'a pod that is removed while the engine is away': 'is gone',
  },
  async play(lab) {
    const { docker } = lab.stack;
    await startPods(lab, 'goes-on', 'is-over');
    lab.addPod(pod(lab, 'goes', wait));
    await lab.untilRunning('goes');
    await docker.restart();
    const seen: Record<string, string> = {
      'a container that ran': kindOf(await lab.stateOf('goes-on', restartedOnce, 90_000)),
    };
    await lab.untilRunning('goes', 90_000);
    await docker.kill();
    lab.addPod(pod(lab, 'comes', wait));
    lab.removePod('goes');
    await lab.untilNoticed();
    await docker.start();
    seen['a pod that is added while the engine is away'] = await lab.stateOf('comes', running);
    seen['a container that ran, after the second time'] = kindOf(
      await lab.stateOf('goes-on', restartedTwice, 90_000),
    );
    seen['a container that ended before'] = await lab.stateOf('is-over', 'Failed; main: Error 3');
    const gone = await lab.until('it to be gone', () => lab.areGone(['goes'])).catch(() => false);
    seen['a pod that is removed while the engine is away'] = gone ? 'is gone' : 'is there';
    return seen;
  },
};

/** Without how the container ended before: the engine, or its restart, may have ended it. */
const kindOf = (state: string): string => state.replace(/before .*$/, 'before it ended');

export const powerCut: Scenario = {
  name: 'power-cut',
  text: 'everything is killed at once, containers too, and started again',
  expected: {
    'a container that ran': /^Running; main: running, ready/,
    'a container that ended before': /^Failed; main: Error 3/,
    'a pod that is added after it': running,
  },
  async play(lab) {
    await startPods(lab, 'cut-off', 'ended-before');
    await lab.powerCut();
    lab.addPod(pod(lab, 'after', wait));
    await lab.untilRunning('after', 120_000);
    await lab.untilRunning('cut-off', 120_000);
    return {
      'a container that ran': await lab.stateOf(
        'cut-off',
        `${running}, 1 restart, before Error 255`,
        5_000,
      ),
      'a container that ended before': await lab.stateOf(
        'ended-before',
        'Failed; main: Error 3',
        5_000,
      ),
      'a pod that is added after it': await lab.stateOf('after', running, 5_000),
    };
  },
};
