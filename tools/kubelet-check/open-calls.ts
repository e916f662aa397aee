import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { complaints } from './complaints';
import { describePod } from './describe-pod';
import type { Pod } from './kubelet';
import type { Lab } from './lab';
import { SlowRegistry } from './slow-registry';

const namespace = 'calls';

/** Names of what is seen of the calls. */
export const openCalls = {
  stop: 'a StopContainer of 25 s',
  hook: 'a preStop hook of 20 s',
  exec: 'an ExecSync of 30 s',
  pull: 'a pull of 60 s',
  layers: 'times that its layer was fetched',
  others: 'containers that ran before',
  fresh: 'a pod that is started while it happens',
  gone: 'pods that were to end',
  complaints: 'errors and warnings of kubelet, by kind',
} as const;

/** What comes of the calls when nothing cuts them. */
export const undisturbed = {
  [openCalls.stop]: 'asked, ended',
  [openCalls.hook]: 'hook begun, hook ended, asked',
  [openCalls.exec]: '200 begun, ended',
  [openCalls.pull]: 'Running; main: running, ready',
  [openCalls.layers]: '1',
  [openCalls.others]: 'go on',
  [openCalls.fresh]: 'Running; main: running, ready',
  [openCalls.gone]: 'are gone',
} as const;

/**
 * Has kubelet open the calls that take longest, lets something happen to the services meanwhile,
 * and returns what came of each call.
 *
 * @param happen is called when all calls are open.
 */
export async function withOpenCalls(
  lab: Lab,
  happen: () => Promise<void>,
): Promise<Record<string, string>> {
  const run = `${lab.way.name}-${Date.now().toString(36)}`;
  const folder = path.join(lab.stack.dir, 'marks', run);
  mkdirSync(folder, { recursive: true });
  const marks = (name: string): string => {
    const file = path.join(folder, name);
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').join(', ') : '';
  };
  const { app } = lab.images;
  const pod = (name: string, script: string, more: object = {}, image = app.reference): Pod => ({
    metadata: { name, namespace },
    spec: {
      terminationGracePeriodSeconds: 60,
      volumes: [{ name: 'marks', hostPath: { path: folder } }],
      containers: [
        {
          ...{ name: 'main', image, command: ['sh', '-c', script] },
          volumeMounts: [{ name: 'marks', mountPath: '/marks' }],
          ...more,
        },
      ],
    },
  });
  const wait = 'while :; do sleep 0.2; done';
  const end = `trap 'exit 0' TERM; ${wait}`;
  const stopping = `trap 'echo asked >> /marks/stop; sleep 25; echo ended >> /marks/stop; exit 0' TERM; ${wait}`;
  const hooked = `trap 'echo asked >> /marks/hook; exit 0' TERM; ${wait}`;
  const hook = 'echo hook begun >> /marks/hook; sleep 20; echo hook ended >> /marks/hook';
  const lifecycle = { preStop: { exec: { command: ['sh', '-c', hook] } } };
  // A layer that no earlier scenario has brought; 60 s at the slow registry's rate.
  const bytesPerSecond = 50_000;
  const large = await lab.stack.pushImage({
    name: 'large',
    tag: run,
    layers: [{ seed: run, sizeMb: (60 * bytesPerSecond) / 1024 / 1024 }],
  });
  const slow = await SlowRegistry.start(lab.stack.registry.open.host, bytesPerSecond);
  try {
    const image = large.reference.replace(/^[^/]*/, slow.host);
    for (const one of [
      pod('stopping', stopping),
      pod('hooked', hooked, { lifecycle }),
      pod('exec', end),
      pod('other', end),
    ]) {
      lab.addPod(one);
    }
    const others = ['exec', 'other'];
    for (const name of ['stopping', 'hooked', ...others]) await lab.untilRunning(name);
    const before = await identities(lab, others);
    const logBefore = lab.kubelet.log().length;

    lab.addPod(pod('pulling', end, {}, image));
    const script = 'echo begun; touch /marks/exec; sleep 30; echo ended\n';
    writeFileSync(path.join(folder, 'script'), script);
    const executed = lab.run('exec', namespace, ['sh', '/marks/script'], 90_000).then(
      ({ status, body }) => `${status} ${body.trim().split('\n').join(', ')}`,
      (error: unknown) => String(error),
    );
    await lab.until('the ExecSync to begin', () => existsSync(path.join(folder, 'exec')));
    await lab.until('the pull to begin', () => slow.layers.length > 0);
    lab.removePod('stopping');
    lab.removePod('hooked');
    await lab.until('the containers to be asked to end', () => marks('stop') && marks('hook'));
    await happen();
    lab.addPod(pod('fresh', end));

    const seen: Record<string, string> = {};
    seen[openCalls.fresh] = await lab.stateOf('fresh', 'Running; main: running, ready', 60_000);
    seen[openCalls.exec] = await executed;
    const ended = await lab
      .until('the pods to end', () => lab.areGone(['stopping', 'hooked']), 90_000)
      .catch(() => false);
    seen[openCalls.gone] = ended ? 'are gone' : 'are there';
    seen[openCalls.stop] = marks('stop');
    seen[openCalls.hook] = marks('hook');
    seen[openCalls.pull] = await lab.stateOf('pulling', 'Running; main: running, ready', 180_000);
    // All of its layers: that of busybox, which every image has, is there already.
    seen[openCalls.layers] = String(slow.layers.length);
    const after = await identities(lab, others);
    seen[openCalls.others] = after === before ? 'go on' : `are others: ${before} and then ${after}`;
    const kinds = complaints(lab.kubelet.log().slice(logBefore));
    seen[openCalls.complaints] = kinds.join('\n') || 'none';
    return seen;
  } finally {
    await slow.close();
  }
}

async function identities(lab: Lab, names: readonly string[]): Promise<string> {
  const pods = await lab.kubelet.pods();
  return names
    .map((name) => pods.find(({ metadata }) => metadata.name === name))
    .map((pod) => {
      if (pod === undefined) return 'gone';
      const ids = pod.status?.containerStatuses?.map(({ containerID }) => containerID);
      return `${describePod(pod)} ${ids?.join() ?? ''}`;
    })
    .join('; ');
}
