import { runtimeGateway } from '@stowage/commands';
import { ageText, shortId, type Cell } from '@stowage/status-view';
import type { Call } from '../command-line/define';
import { onNodes } from '../transport/on-nodes';

/** `stowctl pods`: containers by pod, with the images that they use. */
export async function pods(call: Call): Promise<number> {
  const { flags, out } = call;
  const reach = await call.open();
  const isAll = flags.has('ended');
  const { results, failed } = await onNodes(reach, call, async (node, transport) => {
    const { pods: listed } = await transport.send(node, runtimeGateway.pods, { all: isAll });
    return listed;
  });
  const namespace = flags.text('namespace');
  const found = results.flatMap(({ node, value }) =>
    value
      .filter((pod) => namespace === undefined || pod.namespace === namespace)
      .map((pod) => ({ node, ...pod })),
  );
  const now = Date.now();
  await out.show({
    data: found,
    tables: [
      {
        columns: [
          { title: 'NODE' },
          { title: 'NAMESPACE' },
          { title: 'POD' },
          { title: 'CONTAINER' },
          { title: 'STATE' },
          { title: 'IMAGE' },
          { title: 'AGE', align: 'right' },
          { title: 'RESTARTS', align: 'right' },
          { title: 'IMAGE ID', isWide: true },
          { title: 'CONTAINER ID', isWide: true },
        ],
        rows: found.flatMap((pod): Cell[][] => {
          const names = [pod.node, pod.namespace, pod.name];
          if (pod.containers.length === 0) {
            const state = pod.sandboxes[0]?.state ?? '-';
            return [[...names, '-', state, '-', ageText(pod.createdAt, now), '-', '-', '-']];
          }
          return pod.containers.map((container) => [
            ...names,
            container.name,
            stateCell(container.state),
            container.image?.userSpecifiedReference ??
              container.image?.reference ??
              container.imageRef,
            ageText(container.createdAt, now),
            String(container.attempt),
            shortId(container.image?.imageId ?? container.imageRef),
            shortId(container.id),
          ]);
        }),
        empty: 'no pod',
      },
    ],
  });
  return failed > 0 ? 1 : 0;
}

const stateCell = (state: string): Cell =>
  state === 'running' ? { text: state, tone: 'good' } : { text: state, tone: 'dim' };
