import { statSync } from 'node:fs';
import { connectRuntimeService } from '@stowage/cri-client';
import { VersionRequest, VersionResponse } from '@stowage/cri-proto';
import { startStack, type Stack } from '@stowage/testing';
import { absentNats, GatewayProcess } from '../testing/gateway-process';
import { sendHostileRequests } from '../testing/hostile-requests';
import { callPath } from '../testing/plain-client';

const runtimePath = (method: string, version = 'v1') =>
  `/runtime.${version}.RuntimeService/${method}`;

describe('the read-only socket on containerd', () => {
  let stack: Stack;
  let gateway: GatewayProcess;
  let reference: string;
  let podSandboxId: string;
  let containerId: string;

  const version = (path: string) =>
    callPath(gateway.readonlySocket, path, VersionRequest, VersionResponse, { version: '' });

  beforeAll(async () => {
    stack = await startStack({ nats: false });
    ({ reference } = await stack.pushImage({ name: 'team/app', tag: '1' }));
    gateway = new GatewayProcess(stack, { node: 'node-1', natsUrl: absentNats });
    ({ podSandboxId, containerId } = await stack.runPod({ image: reference }));
    await gateway.start({ env: { STOWAGE_LISTEN_READONLY_MODE: '0666' } });
  });

  afterAll(async () => {
    await gateway.end();
    await stack.down();
  });

  it('answers what changes nothing, in both packages', async () => {
    const client = connectRuntimeService({ endpoint: `unix://${gateway.readonlySocket}` });
    try {
      const { containers } = await client.listContainers({});
      expect(containers.map(({ id }) => id)).toContain(containerId);
      expect((await client.containerStatus({ containerId })).status?.id).toBe(containerId);
      expect((await client.podSandboxStatus({ podSandboxId })).status?.id).toBe(podSandboxId);
      expect(
        (await client.listContainerStats({})).stats.map(({ attributes }) => attributes?.id),
      ).toContain(containerId);
      const { status } = await client.status({});
      expect(status?.conditions.map(({ type }) => type)).toEqual(
        expect.arrayContaining(['RuntimeReady', 'NetworkReady']),
      );
    } finally {
      client.close();
    }
    expect(await version(runtimePath('Version', 'v1alpha2'))).toMatchObject({
      runtimeName: stack.runtime.name,
    });
    await expect(version('/runtime.v1.ImageService/ListImages')).resolves.toBeDefined();
  });

  it('answers RuntimeConfig as the runtime does', async () => {
    const answerOf = async (socket: string): Promise<unknown> => {
      const client = connectRuntimeService({ endpoint: `unix://${socket}` });
      try {
        return await client.runtimeConfig({});
      } catch (error) {
        return (error as { grpcStatus?: string }).grpcStatus; // UNIMPLEMENTED on containerd before 2.0
      } finally {
        client.close();
      }
    };
    expect(await answerOf(gateway.readonlySocket)).toEqual(await answerOf(stack.runtime.socket));
  });

  it('refuses what changes something, and what nobody knows, by name', async () => {
    const client = connectRuntimeService({ endpoint: `unix://${gateway.readonlySocket}` });
    try {
      await expect(client.stopContainer({ containerId, timeout: 0n })).rejects.toMatchObject({
        grpcStatus: 'PERMISSION_DENIED',
        details: `${runtimePath('StopContainer')} is not allowed: this socket is read-only`,
      });
      await expect(client.execSync({ containerId, cmd: ['id'] })).rejects.toMatchObject({
        grpcStatus: 'PERMISSION_DENIED',
      });
      await expect(client.containerStatus({ containerId, verbose: true })).rejects.toMatchObject({
        grpcStatus: 'PERMISSION_DENIED',
        details: `${runtimePath('ContainerStatus')} with verbose is not allowed: this socket is read-only and readonlyVerbose is off`,
      });
    } finally {
      client.close();
    }
    await expect(version(runtimePath('NoSuchMethod'))).rejects.toMatchObject({
      code: 7,
      details: `${runtimePath('NoSuchMethod')} is not allowed: this socket is read-only`,
    });
    await expect(version('/runtime.v1.ImageService/PullImage')).rejects.toMatchObject({ code: 7 });
    const { containers } = await gateway.client.listContainers({ filter: { id: containerId } });
    expect(containers).toHaveLength(1);
    expect(
      await gateway.app.metric(
        'stowage_gateway_calls_total{method="ExecSync",code="PERMISSION_DENIED"}',
      ),
    ).toBe(1);
  });

  it('answers nothing verbose, whatever the bytes of a request are', async () => {
    const report = await sendHostileRequests({
      podSandboxId,
      containerId,
      image: reference,
      runtimeSocket: stack.runtime.socket,
      readonlySocket: gateway.readonlySocket,
      count: 4000,
      seed: 1,
      limitMs: 60_000,
    });
    expect(report.problems).toEqual([]);
    // Each kind of end was there; the runtime reads verbose where the socket reads nothing at all,
    // too.
    for (const ended of Object.values(report.ends)) expect(ended).toBeGreaterThan(0);
    expect(report.verboseOnRuntime).toBeGreaterThan(report.ends['verbose refused']);
  });

  it('has permissions of its own, and can be opened for verbose or switched off', async () => {
    expect(statSync(gateway.readonlySocket).mode & 0o777).toBe(0o666);
    expect(statSync(gateway.socket).mode & 0o777).toBe(0o600);
    expect(await gateway.stop()).toBe(0);
    await gateway.start({ env: { STOWAGE_READONLY_VERBOSE: 'true' } });
    const client = connectRuntimeService({ endpoint: `unix://${gateway.readonlySocket}` });
    const { info } = await client.containerStatus({ containerId, verbose: true });
    client.close();
    expect(Object.keys(info)).not.toHaveLength(0);
    expect(await gateway.stop()).toBe(0);
    await gateway.start({ env: { STOWAGE_LISTEN_READONLY: '' } });
    await expect(version(runtimePath('Version'))).rejects.toMatchObject({ code: 14 });
    await gateway.client.version({});
  });

  it('says UNAVAILABLE while the runtime is away', async () => {
    expect(await gateway.stop()).toBe(0);
    await gateway.start();
    await stack.runtime.stop();
    await expect(version(runtimePath('Version'))).rejects.toMatchObject({
      code: 14,
      details: expect.stringMatching(/^container runtime at unix:\/\/\S+ is unavailable/) as string,
    });
    await stack.runtime.start();
    await gateway.client.whenAvailable();
    await expect(version(runtimePath('Version'))).resolves.toBeDefined();
  });
});
