import { ContainerState } from '@stowage/cri-proto';
import { eventually, startStack, type Stack } from '@stowage/testing';
import { existsSync, lstatSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ShimProcess } from '../testing/shim-process';

/** Logs of containers, through docker-shim as a process that is killed. */
let stack: Stack;
let shim: ShimProcess;
let image: string;

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  shim = new ShimProcess(stack);
  await shim.start();
  const { reference } = await stack.pushImage({ name: 'team/prints' });
  image = (await shim.image.pullImage({ image: { image: reference } })).imageRef;
}, 60_000);

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

/** A pod with a container that prints numbers, some hundred a second. */
async function printing(name: string) {
  const sandboxConfig = {
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, attempt: 0 },
    logDirectory: path.join(stack.dir, 'pod-logs', name),
  };
  const { podSandboxId } = await shim.runtime.runPodSandbox({ config: sandboxConfig });
  const script = 'i=0; while [ ! -e /end ]; do i=$((i+1)); echo $i; sleep 0.003; done';
  const { containerId } = await shim.runtime.createContainer({
    podSandboxId,
    sandboxConfig,
    config: {
      metadata: { name: 'app', attempt: 0 },
      image: { image },
      command: ['/bin/sh', '-c', script],
      logPath: 'app/0.log',
    },
  });
  await shim.runtime.startContainer({ containerId });
  const file = path.join(sandboxConfig.logDirectory, 'app', '0.log');
  const status = async () => (await shim.runtime.containerStatus({ containerId })).status!;
  return {
    containerId,
    file,
    status,
    async end() {
      // It ends the container, with which the engine may forget it.
      const touch = {
        containerId,
        cmd: ['/bin/sh', '-c', '(sleep 0.5; touch /end) >/dev/null 2>&1 &'],
      };
      await shim.runtime.execSync(touch);
      await eventually(async () => (await status()).state === ContainerState.CONTAINER_EXITED, {
        timeoutMs: 10_000,
        what: 'the end of the container',
      });
    },
    async remove() {
      await shim.runtime.stopPodSandbox({ podSandboxId });
      await shim.runtime.removePodSandbox({ podSandboxId });
    },
  };
}

/** The numbers of log files, one after the other. */
const numbers = (...files: string[]): number[] =>
  files
    .map((file) => readFileSync(file, 'utf8'))
    .join('')
    .split('\n')
    .slice(0, -1)
    .map((line) => Number(/^\S+Z stdout F (\d+)$/.exec(line)?.[1] ?? NaN));
const printed = (file: string, count: number) =>
  eventually(() => numbers(file).length > count, {
    timeoutMs: 10_000,
    what: `${count} lines in ${path.basename(file)}`,
  });
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
const reopen = (containerId: string) => shim.runtime.reopenContainerLog({ containerId });

// D05
it('a log is rotated as kubelet does it, and no line is lost', async () => {
  const { containerId, file, end, remove } = await printing('rotated');
  const old = `${file}.20261129-120000`;
  await printed(file, 100);
  renameSync(file, old);
  await reopen(containerId.slice(0, 12));
  expect(lstatSync(file).isFile()).toBe(true);
  const atReopen = numbers(old).length;
  await printed(file, 100);
  await end();
  const all = numbers(old, file);
  expect(all).toEqual(upTo(all.length));
  expect(numbers(old)).toHaveLength(atReopen);
  await expect(reopen(containerId)).rejects.toMatchObject({ grpcStatus: 'FAILED_PRECONDITION' });
  await remove();
  expect([existsSync(file), existsSync(old)]).toEqual([true, true]);
  await expect(reopen(containerId)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
}, 30_000);

// D06
it('what a container prints while the shim is dead is in its log afterwards, once', async () => {
  const { containerId, file, status, end, remove } = await printing('survives');
  await printed(file, 100);
  await shim.app.kill();
  // Kubelet may rotate meanwhile: the call that opens the log again fails, and is repeated.
  const written = numbers(file).length;
  const old = `${file}.20261129-130000`;
  renameSync(file, old);
  await pause(5000);
  expect(existsSync(file)).toBe(false);
  await shim.restart();
  await eventually(() => existsSync(file) && numbers(old, file).length > written + 500);
  expect(lstatSync(file).isFile()).toBe(true);
  await reopen(containerId);
  // And in the middle of writing.
  for (let kill = 0; kill < 2; kill += 1) {
    await pause(300);
    await shim.app.kill();
    await shim.restart();
  }
  await end();
  const all = numbers(old, file);
  expect(all).toEqual(upTo(all.length));
  expect((await status()).logPath).toBe(file);
  await remove();
}, 60_000);

it('what ended while the shim was dead has its whole log and its exit code', async () => {
  const { containerId, file, status, remove } = await printing('ends');
  await printed(file, 10);
  await shim.app.kill();
  await pause(500);
  await stack.docker.api('POST', `/containers/${containerId}/kill`);
  await shim.restart();
  expect(await status()).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: 137 });
  const inspected = (await stack.docker.api('GET', `/containers/${containerId}/json`)) as {
    LogPath: string;
  };
  const lines = readFileSync(inspected.LogPath, 'utf8').split('\n').length - 1;
  expect(numbers(file)).toEqual(upTo(lines));
  await remove();
}, 30_000);

it('the log of a container that somebody starts again goes on, and can be rotated', async () => {
  const { containerId, file, status, remove } = await printing('again');
  await printed(file, 10);
  await stack.docker.api('POST', `/containers/${containerId}/restart?t=0`);
  const first = await eventually(() => {
    const all = numbers(file);
    const at = all.lastIndexOf(1);
    return at > 0 && all.length > at + 10 && all.slice(0, at);
  });
  const old = `${file}.20261129-140000`;
  renameSync(file, old);
  await reopen(containerId);
  await printed(file, 10);
  await stack.docker.api('POST', `/containers/${containerId}/kill`);
  await eventually(async () => (await status()).state === ContainerState.CONTAINER_EXITED);
  const all = numbers(old, file);
  expect(all).toEqual([...upTo(first.length), ...upTo(all.length - first.length)]);
  await remove();
}, 30_000);
