import { ContainerState, PodSandboxState } from '@stowage/cri-proto';
import { eventually, startStack, type Stack } from '@stowage/testing';
import { engineRequests } from '../testing/engine-requests';
import { ShimProcess } from '../testing/shim-process';

const { CONTAINER_RUNNING, CONTAINER_EXITED, CONTAINER_CREATED } = ContainerState;

describe('lists on a real engine', () => {
  let stack: Stack;
  let shim: ShimProcess;
  let image: string;
  let podSandboxId: string;
  const sandboxConfig = { metadata: { name: 'pod', namespace: 'ns', uid: 'u', attempt: 0 } };

  beforeAll(async () => {
    stack = await startStack({ docker: { started: false }, nats: false });
    // Then it logs each call.
    stack.docker.configure({ debug: true });
    await stack.docker.start();
    shim = new ShimProcess(stack);
    await shim.start();
    const { reference } = await stack.pushImage({ name: 'team/listed' });
    ({ imageRef: image } = await shim.image.pullImage({ image: { image: reference } }));
    ({ podSandboxId } = await shim.runtime.runPodSandbox({ config: sandboxConfig }));
  }, 120_000);
  afterAll(async () => {
    await shim.stop();
    await stack.down();
  });

  const create = async (name: string): Promise<string> => {
    const metadata = { name, attempt: 0 };
    const config = { metadata, image: { image } };
    const request = { podSandboxId, sandboxConfig, config };
    return (await shim.runtime.createContainer(request)).containerId;
  };
  const stateOf = async (id: string) =>
    (await shim.runtime.listContainers({})).containers.find((one) => one.id === id)?.state;
  const sandboxStates = async () =>
    (await shim.runtime.listPodSandbox({})).items.map(({ state }) => state);
  /** Lists that the engine was asked for meanwhile. */
  async function listsDuring(work: () => Promise<unknown>): Promise<number> {
    const before = stack.docker.log().length;
    await work();
    const calls = engineRequests(stack.docker.log().slice(before));
    return calls.filter((call) => call.includes('/containers/json')).length;
  }

  it('each call of the shim shows in the very next list', async () => {
    for (let round = 0; round < 10; round += 1) {
      const id = await create(`app-${round}`);
      expect(await stateOf(id)).toBe(CONTAINER_CREATED);
      await shim.runtime.startContainer({ containerId: id });
      expect(await stateOf(id)).toBe(CONTAINER_RUNNING);
      await shim.runtime.stopContainer({ containerId: id, timeout: 0n });
      expect(await stateOf(id)).toBe(CONTAINER_EXITED);
      await shim.runtime.removeContainer({ containerId: id });
      expect(await stateOf(id)).toBeUndefined();
    }
  }, 60_000);

  it('what others do with the engine shows with its event, and between events nobody asks', async () => {
    const id = await create('foreign');
    const api = (method: string, verb: string) =>
      stack.docker.api(method, `/containers/${id}${verb}`);
    const shows = (state: ContainerState | undefined) =>
      eventually(async () => (await stateOf(id)) === state, { timeoutMs: 2000 });
    await api('POST', '/start');
    await shows(CONTAINER_RUNNING);
    await api('POST', '/kill');
    await shows(CONTAINER_EXITED);
    await api('POST', '/start');
    await shows(CONTAINER_RUNNING);
    const asking = () => stack.docker.api('GET', '/containers/json');
    expect(await listsDuring(asking)).toBeGreaterThanOrEqual(1);
    const quiet = await listsDuring(async () => {
      for (let round = 0; round < 50; round += 1) {
        expect(await stateOf(id)).toBe(CONTAINER_RUNNING);
        expect(await sandboxStates()).toEqual([PodSandboxState.SANDBOX_READY]);
      }
    });
    // One that was due, and a comparison of the shim's own.
    expect(quiet).toBeLessThanOrEqual(2);
    await api('DELETE', '?force=1');
    await shows(undefined);
  }, 60_000);

  it('a stream has the list in messages of a hundred', async () => {
    const ids = new Set<string>();
    for (let n = 0; n < 101; n += 1) ids.add(await create(`many-${n}`));
    const sizes: number[] = [];
    for await (const { containers } of shim.runtime.streamContainers({})) {
      sizes.push(containers.length);
      for (const { id } of containers) ids.delete(id);
    }
    expect([sizes, ids.size]).toEqual([[100, 1], 0]);
    const { containers } = await shim.runtime.listContainers({});
    for (const { id } of containers) await shim.runtime.removeContainer({ containerId: id });
  }, 60_000);

  it('what happened while the engine was away shows after it', async () => {
    const id = await create('lasting');
    await shim.runtime.startContainer({ containerId: id });
    expect(await stateOf(id)).toBe(CONTAINER_RUNNING);
    await stack.docker.kill();
    await eventually(async () => {
      const listing = shim.runtime.listContainers({});
      return listing.then(
        () => false,
        () => true,
      );
    });
    // Without live-restore its containers end.
    await stack.docker.start();
    await eventually(async () => (await stateOf(id).catch(() => undefined)) === CONTAINER_EXITED, {
      timeoutMs: 30_000,
    });
    await eventually(async () => (await sandboxStates())[0] === PodSandboxState.SANDBOX_NOTREADY);
  }, 60_000);
});
