import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { findTraces } from './cleanup/traces';
import { eventually } from './eventually';
import { startStack } from './start-stack';
import type { Stack } from './types';

/** Settings of the machine that dockerd changes where it is let. */
const machineSettings = () =>
  ['ipv4/ip_forward', 'ipv4/conf/all/forwarding', 'ipv6/conf/all/forwarding'].map((name) =>
    readFileSync(`/proc/sys/net/${name}`, 'utf8').trim(),
  );
const packetFilter = () =>
  spawnSync('iptables-save', { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((line) => line.includes('DOCKER'));

async function runContainer(stack: Stack, image: string): Promise<string> {
  const [name, tag] = image.split(/:(?=[^:/]*$)/);
  await stack.docker.api('POST', `/images/create?fromImage=${name}&tag=${tag}`);
  const { Id } = (await stack.docker.api('POST', '/containers/create', {
    Image: image,
    Cmd: ['sleep', '1000'],
  })) as { Id: string };
  await stack.docker.api('POST', `/containers/${Id}/start`);
  return Id;
}

it('a Docker Engine runs containers on the stack bridge, and ends without a trace, also those that outlived it', async () => {
  const before = [machineSettings(), packetFilter()];
  const stack = await startStack({ docker: { liveRestore: true }, nats: false });
  try {
    expect(() => stack.runtime).toThrow('this test stack was started with containerd: false');
    const { reference } = await stack.pushImage({ name: 'team/app' });
    const id = await runContainer(stack, reference);
    const inspect = async () =>
      (await stack.docker.api('GET', `/containers/${id}/json`)) as {
        State: { Running: boolean; Pid: number };
        NetworkSettings: { Networks: { bridge: { IPAddress: string } } };
      };
    const { State, NetworkSettings } = await inspect();
    expect(State.Running).toBe(true);
    expect(NetworkSettings.Networks.bridge.IPAddress).toMatch(/^10\./);
    expect(await stack.docker.api('GET', '/info')).toMatchObject({
      DockerRootDir: stack.docker.root,
      CgroupDriver: 'cgroupfs',
      LiveRestoreEnabled: true,
    });

    await stack.docker.kill();
    await expect(stack.docker.api('GET', '/_ping')).rejects.toThrow(/ECONNREFUSED|ENOENT/);
    await stack.docker.start();
    expect((await inspect()).State.Pid).toBe(State.Pid);

    const traces = await findTraces(stack.id, [id]);
    for (const kind of ['processes', 'mounts', 'links', 'cgroups', 'shimSockets'] as const) {
      expect({ kind, found: traces[kind].length > 0 }).toEqual({ kind, found: true });
    }
    // The container is left behind on purpose.
    await stack.docker.kill();
    await stack.down();
    const left = Object.entries(await findTraces(stack.id, [id]));
    expect(left.filter(([, found]) => (found as unknown[]).length > 0)).toEqual([]);
  } finally {
    await stack.down();
  }
  expect([machineSettings(), packetFilter()]).toEqual(before);
});

it('an engine of a stack pulls what registries of the internet have from the open registry', async () => {
  const stack = await startStack({ docker: {}, nats: false });
  try {
    const pause = await stack.pushImage({ name: 'e2e/app', tag: '1' });
    for (const host of ['registry.k8s.io', 'docker.io']) {
      await stack.docker.api('POST', `/images/create?fromImage=${host}/e2e/app&tag=1`);
      const { Id } = (await stack.docker.api('GET', `/images/${host}/e2e/app:1/json`)) as {
        Id: string;
      };
      expect(Id).toBe(pause.imageId);
    }
    const absent = await stack.docker
      .api('POST', '/images/create?fromImage=example.com/e2e/app&tag=1')
      .catch(String);
    expect(absent).toMatch(/502|no such host/);
  } finally {
    await stack.down();
  }
});

it('what a killed test run leaves of an engine is removed', async () => {
  const script = path.join(__dirname, '../testdata/leave-docker.ts');
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', require.resolve('tsx'), script],
    { encoding: 'utf8', cwd: path.resolve(__dirname, '../../..') },
  );
  const { id, containerId } = JSON.parse(stdout || JSON.stringify(stderr)) as {
    id: string;
    containerId: string;
  };
  await eventually(
    async () =>
      Object.values(await findTraces(id, [containerId])).every(
        (found: unknown[]) => found.length === 0,
      ),
    { what: 'the engine and its container to be gone', timeoutMs: 60_000 },
  );
});
