import { Containers } from '../container/containers';
import type { EngineClient, InspectedContainer, ListedContainer } from '../engine/engine-client';
import type { Engine } from '../engine/engine-connection';
import { containerLabels, sandboxLabels } from '../pod/labels';
import { ListedContainers } from '../pod/listed-containers';
import { Pods } from '../pod/pods';
import { KnownSubjects } from './known-subjects';

const { signal } = new AbortController();
const [sandboxId, containerId] = ['a'.repeat(64), 'b'.repeat(64)];
const metadata = { name: 'pod', namespace: 'ns', uid: 'uid', attempt: 0 };
const facts = { labels: {}, annotations: {} };
const labels = {
  [sandboxId]: sandboxLabels({ ...facts, metadata, runtimeHandler: '' }),
  [containerId]: containerLabels(
    {
      ...facts,
      ...{ metadata: { name: 'app', attempt: 0 }, sandboxId, image: 'reg/app' },
      ...{ logPath: '', logMode: 'copy' },
    },
    metadata,
  ),
};

type Filters = { readonly label?: readonly string[] };
const typeOf = (of: Readonly<Record<string, string>>) => of['io.kubernetes.docker.type'] ?? '';

/** An engine with a pod of one container, which was started as often as `starts` says. */
function engine() {
  const inspected: string[] = [];
  let starts = 0;
  const client = {
    listContainers: ({ label = [] }: Filters): Promise<ListedContainer[]> =>
      Promise.resolve(
        Object.entries(labels)
          .filter(([, of]) => label.includes(`io.kubernetes.docker.type=${typeOf(of)}`))
          .map(([Id, Labels]) => ({
            ...{ Id, Names: [`/${Id}`], Labels },
            State: Id === containerId && starts === 0 ? 'created' : 'running',
            HostConfig: { NetworkMode: 'none' },
          })),
      ),
    inspectContainer: (id: string): Promise<InspectedContainer> => {
      inspected.push(id);
      const runs = id === sandboxId || starts > 0;
      return Promise.resolve({
        ...{ Id: id, Name: `/${id}`, Created: '2026-01-02T03:04:05Z' },
        Config: { Labels: labels[id] },
        HostConfig: { CgroupParent: '/kubepods/pod1' },
        State: runs
          ? { Status: 'running', Pid: 40 + starts, StartedAt: `2026-01-02T03:04:0${5 + starts}Z` }
          : { Status: 'created', Pid: 0, StartedAt: '0001-01-01T00:00:00Z' },
      } as InspectedContainer);
    },
  } as unknown as EngineClient;
  const connection = { engine: () => ({ client }) as Engine };
  const listed = new ListedContainers();
  const containers = new Containers(connection, listed);
  const checkpoints = { ids: () => Promise.resolve([]) };
  const pods = new Pods(connection, checkpoints, { get: () => undefined }, listed);
  const subjects = new KnownSubjects(containers, pods);
  return { inspected, containers, pods, subjects, start: () => (starts += 1) };
}

it('has the process and the control group from what was inspected for others', async () => {
  const { inspected, containers, pods, subjects, start } = engine();
  await pods.find(sandboxId, { signal });
  await containers.list({ signal });
  start();
  await containers.find(containerId, { signal });
  const before = inspected.length;
  expect(await subjects.containers({}, signal)).toEqual([
    expect.objectContaining({
      ...{ id: containerId, running: true, pid: 41 },
      startedAtNs: BigInt(Date.parse('2026-01-02T03:04:06Z')) * 1_000_000n,
    }),
  ]);
  expect(await subjects.sandboxes({}, signal)).toEqual([
    expect.objectContaining({
      ...{ id: sandboxId, running: true, pid: 40, cgroupParent: '/kubepods/pod1' },
      hostNetwork: false,
    }),
  ]);
  expect(inspected).toHaveLength(before);
});

it('has each container inspected once where nobody did before', async () => {
  const { inspected, subjects, start } = engine();
  start();
  for (let round = 0; round < 3; round += 1) {
    expect(await subjects.containers({}, signal)).toMatchObject([{ pid: 41 }]);
    expect(await subjects.sandboxes({}, signal)).toMatchObject([{ pid: 41 }]);
  }
  expect(inspected.sort()).toEqual([sandboxId, containerId]);
});

it('says that a container which was not started has no process', async () => {
  const { subjects } = engine();
  expect(await subjects.containers({}, signal)).toMatchObject([
    { running: false, pid: undefined, startedAtNs: undefined },
  ]);
});
