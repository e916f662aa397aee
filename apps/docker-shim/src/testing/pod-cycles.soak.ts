// Memory and descriptors of docker-shim while pods come and go: `npm run soak -- pod-cycles
// [PODS]`, by default 10 000, which take an hour or two. Fails when they grow.
import { startStack } from '@stowage/testing';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ShimProcess } from './shim-process';

const [pods = 10_000] = process.argv.slice(2).map(Number);

/** Pods at once. */
const workers = 3;
/** How often is measured in the whole run. */
const samples = 20;
/** So that what a pod has left can be collected before it is measured, milliseconds. */
const restMs = 3000;
/** Growth from the second quarter of the run to the last that is noise. */
const noise = { part: 0.1, bytes: 8 * 1024 * 1024, descriptors: 5 };

interface Sample {
  readonly pods: number;
  readonly residentBytes: number;
  readonly descriptors: number;
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

async function life(shim: ShimProcess, folder: string, name: string, image: string) {
  const { runtime } = shim;
  const sandboxConfig = {
    metadata: { name, namespace: 'soak', uid: `uid-${name}`, attempt: 0 },
    logDirectory: path.join(folder, name),
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config: sandboxConfig });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig,
    config: { metadata: { name: 'app', attempt: 0 }, image: { image }, logPath: 'app.log' },
  });
  await runtime.startContainer({ containerId });
  await runtime.execSync({ containerId, cmd: ['true'], timeout: 60n });
  await runtime.listContainers({});
  await runtime.listContainerStats({});
  await runtime.listPodSandboxStats({});
  await runtime.podSandboxStatus({ podSandboxId });
  await runtime.stopContainer({ containerId, timeout: 0n });
  await runtime.containerStatus({ containerId });
  await runtime.removeContainer({ containerId });
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
}

function sampleOf(pid: number, done: number): Sample {
  const [, pages = '0'] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
  return {
    pods: done,
    residentBytes: Number(pages) * 4096,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  };
}

async function main(): Promise<void> {
  const stack = await startStack({ docker: {}, nats: false });
  const shim = new ShimProcess(stack);
  const taken: Sample[] = [];
  try {
    const { reference } = await stack.pushImage({
      name: 'soak/app',
      command: ['/bin/sh', '-c', 'echo here; exec sleep 1000'],
    });
    const env = { STOWAGE_LOG_LEVEL: 'info', MALLOC_ARENA_MAX: '2' };
    await shim.start({ env: { ...env, MALLOC_TRIM_THRESHOLD_: '131072' } });
    const { imageRef } = await shim.image.pullImage({ image: { image: reference } });
    const folder = path.join(stack.dir, 'pod-logs');
    let begun = 0;
    while (taken.length < samples) {
      const until = Math.ceil((pods * (taken.length + 1)) / samples);
      const work = async () => {
        while (begun < until) await life(shim, folder, `pod-${++begun}`, imageRef);
      };
      await Promise.all(Array.from({ length: workers }, work));
      await pause(restMs);
      const sample = sampleOf(shim.app.pid, begun);
      taken.push(sample);
      const mebibytes = Math.round(sample.residentBytes / 1024 / 1024);
      console.log(`${begun} pods: ${mebibytes} MB, ${sample.descriptors} descriptors`);
    }
  } finally {
    await shim.stop();
    await stack.down();
  }
  const quarter = samples / 4;
  const [before, after] = [taken.slice(quarter, 2 * quarter), taken.slice(-quarter)] as const;
  const growth = (of: (sample: Sample) => number): number =>
    median(after.map(of)) - median(before.map(of));
  const bytes = growth(({ residentBytes }) => residentBytes);
  const descriptors = growth((sample) => sample.descriptors);
  console.log(`from the second quarter to the last: ${bytes} bytes, ${descriptors} descriptors`);
  const allowed = Math.max(
    noise.bytes,
    noise.part * median(before.map(({ residentBytes }) => residentBytes)),
  );
  if (bytes > allowed || descriptors > noise.descriptors) process.exitCode = 1;
}

void main();
