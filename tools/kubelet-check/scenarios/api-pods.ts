import { Cluster, named, onePod, podsOf, waitForEnd, type ApiPod } from '../cluster';
import { describePod } from '../describe-pod';
import { Kubelet } from '../kubelet';
import type { Scenario } from '../scenario';

const namespace = 'shop';
const running = 'Running; main: running, ready';

/** A pod, how its deletion is asked for, and what the API server shows last of it. */
const deletions = [
  {
    name: 'quick',
    what: 'a container that ends when it is asked to',
    script: waitForEnd,
    last: 'Succeeded; main: Completed 0',
  },
  {
    name: 'slow',
    what: 'a container that takes a part of its grace',
    script: "trap 'sleep 3; exit 6' TERM; while :; do sleep 1; done",
    grace: 20,
    last: 'Failed; main: Error 6',
  },
  {
    name: 'deaf',
    what: 'a container that does not end by itself',
    script: "trap '' TERM; while :; do sleep 1; done",
    grace: 2,
    last: 'Failed; main: Error 137',
  },
  {
    name: 'shorter',
    what: 'a deletion with less grace than the pod has',
    script: "trap '' TERM; while :; do sleep 1; done",
    grace: 300,
    deletion: 2,
    last: 'Failed; main: Error 137',
  },
  {
    name: 'hook',
    what: 'a hook before the end',
    script: "trap 'cat /tmp/hook; exit 8' TERM; while :; do sleep 1; done",
    grace: 20,
    container: {
      lifecycle: { preStop: { exec: { command: ['sh', '-c', 'sleep 2; echo hook > /tmp/hook'] } } },
      terminationMessagePolicy: 'FallbackToLogsOnError',
    },
    last: 'Failed; main: Error 8',
  },
  {
    name: 'finished',
    what: 'a pod that is done',
    script: 'exit 0',
    ends: 'Succeeded; main: Completed 0',
    last: 'Succeeded; main: Completed 0',
  },
] as const satisfies readonly {
  name: string;
  what: string;
  script: string;
  grace?: number;
  deletion?: number;
  container?: object;
  /** What it comes to before it is deleted. Default: it runs. */
  ends?: string;
  last: string;
}[];

export const apiPods: Scenario = {
  name: 'api-pods',
  text: 'mirror pods of static pods, and pods that are deleted by the API with their grace',
  needs: 'api-server',
  expected: {
    ...Object.fromEntries(
      deletions.map(({ what, last }) => [`deletion of ${what}: last state`, last]),
    ),
    'deletion of a hook before the end: message': 'hook\n',
    'deletion at once: sandboxes and containers': 'none',
    'mirror pod: state': running,
    'mirror pod: source': 'file',
    'mirror pod, deleted by the API: comes again': 'another object',
    'mirror pod, deleted by the API: the container': 'goes on',
    'static pod changed: the container': 'another one',
    'static pod changed: log': 'second\n',
    'static pod removed: mirror pod': 'gone',
  },
  play: (lab) =>
    Cluster.with(lab, async (cluster) => {
      await cluster.namespace(namespace);
      return { ...(await deleteByApi(cluster)), ...(await mirrorPods(cluster)) };
    }),
};

async function deleteByApi(cluster: Cluster): Promise<Record<string, string>> {
  const { lab } = cluster;
  const seen = await Promise.all(
    deletions.map(async (one) => {
      const { name, what, script } = one;
      const grace = 'grace' in one ? { terminationGracePeriodSeconds: one.grace } : {};
      const pod = { restartPolicy: 'Never', ...grace };
      const container = 'container' in one ? one.container : {};
      const spec = onePod(lab.images.app.reference, { script, container, pod });
      await cluster.addPod({ namespace, name, spec });
      const state = 'ends' in one ? one.ends : running;
      const before = await cluster.stateOf(namespace, name, state);
      const last = await lastOf(cluster, name, 'deletion' in one ? one.deletion : undefined);
      const message = last.status?.containerStatuses?.[0]?.state.terminated?.message;
      return named(`deletion of ${what}`, {
        before,
        'last state': describePod(last),
        ...(message !== undefined && { message }),
      });
    }),
  );
  const all = seen.flatMap((one) => Object.entries(one));
  return { ...Object.fromEntries(all), ...(await deleteAtOnce(cluster)) };
}

/** Deletes a pod and returns what the API server had of it last. */
async function lastOf(cluster: Cluster, name: string, grace?: number): Promise<ApiPod> {
  const end = AbortSignal.any([cluster.lab.signal, AbortSignal.timeout(90_000)]);
  const states: { type: string; pod: ApiPod }[] = [];
  const watching = cluster.api.watch(
    podsOf(namespace),
    name,
    (type, object) => states.push({ type, pod: object as ApiPod }),
    end,
  );
  await cluster.lab.until(`${name} to be watched`, () => states.length > 0);
  await cluster.deletePod(namespace, name, grace);
  await watching;
  const last = states.at(-1);
  if (last?.type !== 'DELETED') throw new Error(`${name} was not deleted in time`);
  return last.pod;
}

/** A forced deletion removes the object at once; kubelet ends the containers by itself. */
async function deleteAtOnce(cluster: Cluster): Promise<Record<string, string>> {
  const { lab } = cluster;
  const name = 'at-once';
  const script = "trap '' TERM; while :; do sleep 1; done";
  const spec = onePod(lab.images.app.reference, { script });
  await cluster.addPod({ namespace, name, spec });
  await cluster.stateOf(namespace, name, running);
  await cluster.deletePod(namespace, name, 0);
  const object =
    (await cluster.pod(namespace, name)) === undefined ? 'gone at once' : 'still there';
  const left = (): Promise<boolean> => lab.runtime.hasContainersOf(name);
  const none = await lab
    .until('its containers to be gone', async () => !(await left()), 60_000)
    .then(() => 'none')
    .catch(() => 'still there');
  return { 'deletion at once: object': object, 'deletion at once: sandboxes and containers': none };
}

async function mirrorPods(cluster: Cluster): Promise<Record<string, string>> {
  const { lab } = cluster;
  const name = 'static';
  const mirror = `${name}-${Kubelet.node}`;
  const manifest = (text: string) => ({
    metadata: { name, namespace },
    spec: onePod(lab.images.app.reference, { script: `echo ${text}; ${waitForEnd}` }),
  });
  lab.addPod(manifest('first'));
  const state = await cluster.stateOf(namespace, mirror, running);
  const first = await cluster.pod(namespace, mirror);
  const seen: Record<string, string> = {
    'mirror pod: state': state,
    'mirror pod: source': first?.metadata.annotations?.['kubernetes.io/config.source'] ?? '',
    'mirror pod: image': lab.normalise(first?.status?.containerStatuses?.[0]?.imageID ?? ''),
  };
  await cluster.deletePod(namespace, mirror);
  const second = await lab.until('the mirror pod to come again', async () => {
    const now = await cluster.pod(namespace, mirror);
    return now !== undefined && now.metadata.uid !== first?.metadata.uid && hasRun(now) && now;
  });
  seen['mirror pod, deleted by the API: comes again'] = 'another object';
  seen['mirror pod, deleted by the API: the container'] =
    containerOf(second) === containerOf(first) ? 'goes on' : 'is another one';
  lab.addPod(manifest('second'));
  const changed = await lab.until('the changed pod to run', async () => {
    const now = await cluster.pod(namespace, mirror);
    return hasRun(now) && containerOf(now) !== containerOf(first) && now;
  });
  seen['static pod changed: the container'] = 'another one';
  seen['static pod changed: state'] = describePod(changed);
  const log = await lab.until('its log', async () => {
    const { status, body } = await cluster.api.text(`${podsOf(namespace)}/${mirror}/log`);
    return status === 200 && body !== '' && body;
  });
  seen['static pod changed: log'] = log;
  lab.removePod(name);
  await cluster.untilGone(namespace, mirror);
  seen['static pod removed: mirror pod'] = 'gone';
  return seen;
}

const containerOf = (pod: ApiPod | undefined): string | undefined =>
  pod?.status?.containerStatuses?.[0]?.containerID;

const hasRun = (pod: ApiPod | undefined): pod is ApiPod =>
  pod?.status?.containerStatuses?.[0]?.state.running !== undefined;
