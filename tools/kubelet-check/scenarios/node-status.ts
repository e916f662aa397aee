import { Cluster, type Node } from '../cluster';
import { ofStowage } from '../compare';
import type { Lab } from '../lab';
import type { Scenario } from '../scenario';

/** What a node's status says of the runtime and its images. */
export const nodeStatus: Scenario = {
  name: 'node-status',
  text: 'conditions of the node, its images and its runtime, also while the runtime is away',
  needs: 'api-server',
  expected: {
    'conditions, ready': /^Ready=True KubeletReady/m,
    'images that were pulled': /app:1.* \d+\n.*other:1.* \d+/,
    'images, one removed': /^(?!.*other:1)/s,
    'conditions, runtime away': /^Ready=False KubeletNotReady/m,
    'conditions, runtime back': /^Ready=True KubeletReady/m,
    [`${ofStowage}conditions after image-service was away`]: /^Ready=True KubeletReady/m,
  },
  play: (lab) =>
    Cluster.with(lab, async (cluster) => {
      const seen: Record<string, string> = {};
      const { app, other } = lab.images;
      for (const { reference } of [app, other]) await lab.pullImage(reference);
      const known = (node: Node, reference: string): boolean =>
        node.status?.images?.some(({ names }) => names?.includes(reference)) ?? false;
      const both = await untilNode(
        cluster,
        'its images',
        (node) => known(node, app.reference) && known(node, other.reference),
      );
      seen['conditions, ready'] = conditions(lab, both);
      seen['images that were pulled'] = images(lab, both);
      for (const part of ['nodeInfo', 'runtimeHandlers', 'features', 'allocatable'] as const) {
        seen[part] = lab.normalise(
          JSON.stringify(withoutIds(both.status?.[part]) ?? null, undefined, 1),
        );
      }
      await lab.runtime.removeImage(other);
      const less = await untilNode(
        cluster,
        'one image less',
        (node) => !known(node, other.reference),
      );
      seen['images, one removed'] = images(lab, less);

      await away(lab);
      const without = await untilNode(
        cluster,
        'the node not to be ready',
        (node) => !isReady(node),
      );
      seen['conditions, runtime away'] = conditions(lab, without);
      await back(lab);
      const again = await untilNode(cluster, 'the node to be ready again', isReady);
      seen['conditions, runtime back'] = conditions(lab, again);

      if (lab.way.services.includes('image-service')) {
        await lab.service('image-service').stop();
        await lab.restartService('image-service');
        const after = await untilNode(cluster, 'the node to be ready', isReady);
        seen[`${ofStowage}conditions after image-service was away`] = conditions(lab, after);
      }
      return seen;
    }),
};

/** What kubelet speaks to for runtime calls: the gateway, or the runtime itself. */
async function away(lab: Lab): Promise<void> {
  if (lab.way.services.includes('runtime-gateway')) await lab.service('runtime-gateway').stop();
  else await lab.runtime.stop();
}

async function back(lab: Lab): Promise<void> {
  if (lab.way.services.includes('runtime-gateway')) await lab.startService('runtime-gateway');
  else await lab.runtime.start();
}

/**
 * kubelet takes a runtime for lost after 30 s, and lists the images of its node twice a minute at
 * most.
 */
function untilNode(cluster: Cluster, what: string, is: (node: Node) => boolean): Promise<Node> {
  return cluster.lab.until(
    what,
    async () => {
      const node = await cluster.node();
      return node !== undefined && is(node) && node;
    },
    120_000,
  );
}

const isReady = (node: Node): boolean =>
  node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ??
  false;

/** All conditions, one a line, without times. */
function conditions(lab: Lab, { status }: Node): string {
  const lines = (status?.conditions ?? []).map(
    (one) => `${one.type}=${one.status} ${one.reason ?? ''}: ${one.message ?? ''}`,
  );
  return lab.normalise(lines.sort().join('\n'));
}

/**
 * Names and sizes of the images of this scenario, one a line: others may have been left by one
 * before, of which ways differ.
 */
function images(lab: Lab, { status }: Node): string {
  const { app, other } = lab.images;
  const lines = (status?.images ?? [])
    .filter(({ names }) => [app, other].some(({ reference }) => names?.includes(reference)))
    .map(
      ({ names = [], sizeBytes = 0 }) =>
        `${[...names]
          .sort()
          .map((name) => lab.normalise(name))
          .join(' ')} ${sizeBytes}`,
    );
  return lines.sort().join('\n');
}

/** Without what each machine and each start has of its own. */
function withoutIds(part: unknown): unknown {
  if (typeof part !== 'object' || part == null || Array.isArray(part)) return part;
  const own = ['bootID', 'machineID', 'systemUUID', 'ephemeral-storage', 'memory'];
  return Object.fromEntries(Object.entries(part).filter(([name]) => !own.includes(name)));
}
