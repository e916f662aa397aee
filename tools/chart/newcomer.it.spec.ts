import { existsSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { connectRuntimeService } from '@stowage/cri-client';
import { eventually, freePort, startStack, testRuntime, type Stack } from '@stowage/testing';
import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import { Desk } from '../doc-blocks/desk';
import { blocksOf, isShell, shownCommands } from '../doc-blocks/markdown';
import { markOf } from '../doc-blocks/marks';
import { shapeOf } from '../doc-blocks/shape';
import { chartApps } from './chart';
import { nodeObject } from './fake-cluster';
import { kubernetesPrograms } from './kubernetes-programs';
import { Chart } from './render';
import { appOf, Rendered } from './rendered';
import { folderIn, runService, shareMounts, type RunningService } from './run-service';
import { makeServiceImages } from './service-images';
import { SmallCluster, type StoredObject } from './small-cluster';

/**
 * A platform engineer with a cluster, who has docs/kubernetes.md alone: types its commands in a
 * clean clone, with the real Helm and kubectl. The API server is a small one; what a DaemonSet asks
 * for is run on a real containerd, as kubelet would. Other than on a page, the folders of the node
 * are those of this test, which whoever has others sets too.
 */

const page = 'docs/kubernetes.md';
const node = 'worker-1';
const onContainerd = testRuntime().name === 'containerd' ? describe : describe.skip;

onContainerd('a newcomer with a cluster', () => {
  const commands = blocksOf(page)
    .filter((block) => isShell(block) && markOf(block) === undefined)
    .flatMap(shownCommands);
  let stack: Stack;
  let cluster: SmallCluster;
  let desk: Desk;
  let runtime: ReturnType<typeof connectRuntimeService>;
  const running = new Map<string, RunningService>();
  /** Ends the loop that plays controllers and kubelet. */
  let isOver = false;
  let played = Promise.resolve();

  beforeAll(async () => {
    const programs = await kubernetesPrograms();
    stack = await startStack({ filesystemMb: 1200, nats: false });
    shareMounts(stack);
    runtime = connectRuntimeService({ endpoint: stack.containerd.endpoint });
    cluster = await SmallCluster.start(async ({ metadata }) => {
      const pod = running.get(metadata.labels?.['app.kubernetes.io/component'] ?? '');
      return (await runtime.portForward({ podSandboxId: pod?.podSandboxId ?? '', port: [] })).url;
    });
    const { major, minor, patch } = stack.containerd.version;
    const name = `containerd://${major}.${minor}.${patch}`;
    const facts = { name: node, runtime: name, kubelet: 'v1.35.0' };
    cluster.put(nodeObject(facts));
    const rendered = new Rendered(await new Chart(programs).render({ mode: 'beside' }));
    const names = chartApps.map((app) => [app, rendered.container(app).image ?? ''] as const);
    const archive = makeServiceImages(folderIn(stack, 'images'), Object.fromEntries(names));
    await stack.containerd.ctr('images', 'import', '--no-unpack', archive);
    desk = new Desk({
      dir: path.join(stack.dir, 'desk'),
      node,
      seen: [
        { from: folderIn(stack, 'run'), as: '/run/stowage' },
        { from: path.dirname(stack.containerd.socket), as: '/run/containerd' },
      ],
      env: { KUBECONFIG: cluster.kubeconfig },
      programs: { kubectl: `exec ${programs.kubectl} "$@"`, helm: helmOf(programs.helm) },
    });
    played = play();
  });

  afterAll(async () => {
    isOver = true;
    await played.catch(() => undefined);
    for (const app of running.keys()) await end(app);
    runtime.close();
    cluster.stop();
    await stack.down();
  });

  /** Helm, with what a node with other folders takes. */
  function helmOf(helm: string): string {
    const paths = {
      'runtimePaths.socket': stack.containerd.socket,
      'runtimePaths.root': stack.containerd.root,
      'hostPaths.sockets': folderIn(stack, 'run'),
      'hostPaths.state': folderIn(stack, 'state'),
    };
    const set = Object.entries(paths).map(([name, value]) => `--set ${name}=${value}`);
    return `[ "$1" = install ] || exec ${helm} "$@"; exec ${helm} "$@" ${set.join(' ')}`;
  }

  async function end(app: string): Promise<void> {
    const service = running.get(app);
    if (service === undefined) return;
    running.delete(app);
    const { containerId, podSandboxId } = service;
    await runtime.stopContainer({ containerId, timeout: 30n });
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  }

  /** What runs now of a DaemonSet, and the pod that says so. */
  const specs = new Map<string, { text: string; pod: StoredObject }>();

  /** DaemonSets become pods of the one node, changed ones other pods, and those that went none. */
  async function play(): Promise<void> {
    while (!isOver) {
      const wanted = new Map(
        cluster.ofKind('DaemonSet').map((object) => [appOf(object as IDaemonSet), object]),
      );
      for (const [app, { pod, text }] of specs) {
        if (textOfSpec(wanted.get(app)) === text) continue;
        await end(app);
        cluster.remove(pod);
        specs.delete(app);
      }
      for (const [app, daemonSet] of wanted) {
        if (specs.has(app)) continue;
        const objects = [...cluster.ofKind('DaemonSet'), ...cluster.ofKind('ConfigMap')];
        const rendered = new Rendered(objects);
        const service = await runService(app, rendered, {
          name: node,
          stack,
          runtime,
          secrets: {},
        });
        running.set(app, service);
        const pod = podObject(daemonSet, service);
        specs.set(app, { text: textOfSpec(daemonSet), pod });
        await isReady(service);
        cluster.put(pod);
        const counts = [
          'currentNumberScheduled',
          'desiredNumberScheduled',
          'numberAvailable',
          'numberReady',
          'updatedNumberScheduled',
        ];
        const { generation } = daemonSet.metadata;
        // It may be another one by now, whose generation is not observed yet.
        const now = cluster.ofKind('DaemonSet').find(isSame(daemonSet)) ?? daemonSet;
        cluster.put({
          ...now,
          status: {
            ...Object.fromEntries(counts.map((count) => [count, 1])),
            numberMisscheduled: 0,
            observedGeneration: generation,
          },
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  const isSame =
    ({ metadata }: StoredObject) =>
    (other: StoredObject): boolean =>
      other.metadata.name === metadata.name && other.metadata.namespace === metadata.namespace;

  const textOfSpec = (object: StoredObject | undefined): string =>
    JSON.stringify(object?.spec ?? '');

  const isReady = ({ ip, pod }: RunningService) =>
    eventually(
      async () => {
        const { port, path: readyz } = pod.probes.readiness;
        return (await fetch(`http://${ip}:${port}${readyz}`)).ok;
      },
      { timeoutMs: 60_000, what: 'the pod to be ready' },
    );

  /** Waits until so many pods are there: ready, or taken away to their last step. */
  const arePods = (count: number) =>
    eventually(() => cluster.ofKind('Pod').length === count && running.size === count, {
      what: `${count} pods to be ready, and no others to be there`,
      timeoutMs: 60_000,
    });

  function podObject(daemonSet: StoredObject, { ip }: RunningService): StoredObject {
    const { metadata, spec } = daemonSet as unknown as IDaemonSet;
    const ready = { type: 'Ready', status: 'True' };
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `${metadata?.name ?? ''}-x7k2p`,
        namespace: metadata?.namespace,
        labels: { ...spec?.template.metadata?.labels },
      },
      spec: { nodeName: node, ...spec?.template.spec },
      status: { phase: 'Running', podIP: ip, conditions: [ready] },
    };
  }

  it('installs, looks, upgrades and removes with what the page shows, and nothing is left', async () => {
    const port = await freePort();
    const ended = await desk.run(
      commands.map(({ command }) =>
        command
          .replace(/(port-forward .*) 9472 /, `$1 ${port}:9472 `)
          .replace('127.0.0.1:9472', `127.0.0.1:${port}`),
      ),
    );
    expect(cluster.unknown).toEqual([]);
    const codes = ended.printed.map(({ command, code }) => `${command}: ${code}`);
    const well = ended.printed.map(({ command }) => `${command}: 0`);
    expect([codes, isDeepStrictEqual(codes, well) ? '' : ended.stdout + ended.stderr]).toEqual([
      well,
      '',
    ]);
    for (const [index, { command, output }] of commands.entries()) {
      const printed = ended.printed[index]?.output ?? [];
      for (const line of shapeOf(output).lines) {
        if (line.startsWith('{')) {
          // A state, beside which more is said.
          expect(JSON.parse(printed.join('') || '{}')).toMatchObject(JSON.parse(line) as object);
          continue;
        }
        expect([command, shapeOf(printed).lines]).toEqual([
          command,
          expect.arrayContaining([line]),
        ]);
      }
    }
    await arePods(0);
    expect(cluster.ofKind('DaemonSet')).toEqual([]);
    const left = ['ConfigMap', 'ServiceAccount', 'NetworkPolicy', 'Secret', 'Pod'];
    expect(left.flatMap((kind) => cluster.ofKind(kind))).toEqual([]);
    expect(cluster.ofKind('Namespace')).toEqual([]);
    expect(existsSync(path.join(folderIn(stack, 'run'), 'gc-worker.cmd.sock'))).toBe(false);
    expect(desk.changes()).toBe('');
  });

  describe('what other pages do with a cluster', () => {
    /** Runs the block of a page that begins so. */
    async function runBlock(name: string, begins: string, before: readonly string[] = []) {
      const block = blocksOf(name).find(({ text }) => text.startsWith(begins));
      const ended = await desk.run([...before, `set -e\n${block?.text ?? 'false'}set +e`]);
      const code = ended.printed.at(-1)?.code;
      expect([code, code === 0 ? '' : ended.stderr]).toEqual([0, '']);
      return ended.printed.at(-1)?.output.join('\n') ?? '';
    }

    it.each([
      ['README.md', 'helm install'],
      ['deploy/helm/stowage/README.md', 'kubectl create namespace'],
    ])('%s: the chart is installed, and removed again', async (name, begins) => {
      expect(await runBlock(name, begins)).toMatch(/^STATUS: deployed$/m);
      await arePods(2);
      const ended = await desk.run([
        'helm uninstall stowage --namespace stowage',
        'kubectl delete namespace stowage',
      ]);
      expect(ended.printed.map(({ code }) => code)).toEqual([0, 0]);
      await arePods(0);
    });

    it('docs/image-service.md: a pull secret is made', async () => {
      const begins = 'kubectl create secret';
      await runBlock('docs/image-service.md', begins, ['kubectl create namespace shop']);
      expect(cluster.ofKind('Secret').map(({ metadata }) => metadata.namespace)).toEqual(['shop']);
    });

    it('docs/stowctl.md: logins for the nodes that the cluster names', async () => {
      await runBlock('docs/stowctl.md', 'kubectl get nodes');
      const folder = path.join(desk.checkout, 'nats-users');
      expect(existsSync(path.join(folder, `nodes/${node}.nk`))).toBe(true);
      expect(existsSync(path.join(folder, 'operators/sre.nk'))).toBe(true);
    });
  });
});
