import { Cluster, onePod, podsOf, waitForEnd, type ApiPod } from '../cluster';
import type { Scenario } from '../scenario';

const namespace = 'shop';
const name = 'changing';
const running = 'Running; main: running, ready';
const MiB = 1024 * 1024;

const resources = (cpu: string, memory: string) => ({
  requests: { cpu, memory },
  limits: { cpu, memory },
});

/** Where a container sees its limit of memory: control groups of version 1, and of version 2. */
const limitFiles = ['/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory.max'];

/** What is changed of a pod that runs. */
export const changes: Scenario = {
  name: 'changes',
  text: 'a running pod gets other limits in place, and a container to debug it with',
  needs: 'api-server',
  expected: {
    'limits before': `cpu 100m, memory 64Mi; ${64 * MiB} in the container`,
    'limits afterwards': `cpu 200m, memory 96Mi; ${96 * MiB} in the container`,
    'the container that was resized': `${running}, the same`,
    'what the container to debug sees as first process': `sh -c ${waitForEnd}\n`,
  },
  play: (lab) =>
    Cluster.with(lab, async (cluster) => {
      await cluster.namespace(namespace);
      await cluster.addPod({
        ...{ namespace, name },
        spec: onePod(lab.images.app.reference, {
          container: { resources: resources('100m', '64Mi') },
        }),
      });
      await cluster.stateOf(namespace, name, running);
      const own = `${podsOf(namespace)}/${name}`;
      const idOf = (pod: ApiPod | undefined) => pod?.status?.containerStatuses?.[0]?.containerID;
      const before = idOf(await cluster.pod(namespace, name));
      const seen: Record<string, string> = {};
      const limits = async (): Promise<string> => {
        const status = (await cluster.pod(namespace, name))?.status?.containerStatuses?.[0];
        const { cpu = '?', memory = '?' } = status?.resources?.limits ?? {};
        const bytes = await Promise.all(
          limitFiles.map((file) => {
            const query = new URLSearchParams({ cmd: `cat ${file}` }).toString();
            return lab.kubelet.post(`/run/${namespace}/${name}/main?${query}`);
          }),
        );
        const inside = bytes.find(({ status: code, body }) => code === 200 && /^\d/.test(body));
        return `cpu ${cpu}, memory ${memory}; ${inside?.body.trim() ?? '?'} in the container`;
      };
      seen['limits before'] = await limits();
      await cluster.api.ask(`${own}/resize`, {
        method: 'PATCH',
        body: { spec: { containers: [{ name: 'main', resources: resources('200m', '96Mi') }] } },
      });
      const wanted = changes.expected['limits afterwards'];
      let after = '';
      const areThere = async (): Promise<boolean> => (after = await limits()) === wanted;
      await lab.until('the limits to be changed', areThere).catch(() => undefined);
      seen['limits afterwards'] = after;
      const state = await cluster.stateOf(namespace, name, running, 5_000);
      const isSame = idOf(await cluster.pod(namespace, name)) === before;
      seen['the container that was resized'] = `${state}, ${isSame ? 'the same' : 'another'}`;

      const debug = {
        name: 'debug',
        image: lab.images.app.reference,
        targetContainerName: 'main',
        command: ['sh', '-c', `tr '\\0' ' ' < /proc/1/cmdline; echo; ${waitForEnd}`],
      };
      await cluster.api.ask(`${own}/ephemeralcontainers`, {
        method: 'PATCH',
        body: { spec: { ephemeralContainers: [debug] } },
      });
      let log = '';
      const isWritten = async (): Promise<boolean> => {
        const target = `/containerLogs/${namespace}/${name}/debug`;
        const { status, body } = await lab.kubelet.get(target);
        if (status === 200) log = body;
        return log.endsWith('\n');
      };
      await lab.until('the log of the container to debug', isWritten).catch(() => undefined);
      seen['what the container to debug sees as first process'] = log.replace(/ \n$/, '\n');
      return seen;
    }),
};
