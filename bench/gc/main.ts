// What gc-worker costs: CPU and memory of detection and plan by number of images, and a collection of 200 images on a real containerd
// against bare RemoveImage calls. `node tools/run-ts.mjs bench/gc/main.ts`; prints the tables of docs/benchmarks.md. Needs root for the second,
// and `node tools/build.mjs gc-worker` before it.
import { execFileSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { connectImageService } from '@stowage/cri-client';
import { eventually, eventuallyPasses, spawnApp, startStack, type Stack } from '@stowage/testing';
import { connect } from 'nats';

const root = path.resolve(__dirname, '../..');
const sizes = [1000, 2000, 5000, 10_000, 20_000, 50_000];
const collected = 200;
const rounds = 5;

interface Detection {
  imageCount: number;
  cpuMs: number;
  firstCpuMs: number;
  aboveIdleBytes: number;
}

/** Each size in a process of its own, so that one does not warm or fill another. */
function measureDetection(imageCount: number): Detection {
  const script = path.join(root, 'apps/gc-worker/src/testing/measure-detection.ts');
  const args = ['--expose-gc', '--import', 'tsx', script, String(imageCount)];
  const env = { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') };
  return JSON.parse(
    execFileSync(process.execPath, args, { cwd: root, env, encoding: 'utf8' }),
  ) as Detection;
}

/** Slope of the straight line through the logarithms: 1 is linear. */
function exponent(points: readonly Detection[]): number {
  const logs = points.map(({ imageCount, cpuMs }) => [Math.log(imageCount), Math.log(cpuMs)]);
  const mean = (at: 0 | 1) => logs.reduce((sum, log) => sum + (log[at] ?? 0), 0) / logs.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  let [together, spread] = [0, 0];
  for (const [x = 0, y = 0] of logs) {
    together += (x - meanX) * (y - meanY);
    spread += (x - meanX) ** 2;
  }
  return together / spread;
}

const pad = (text: string | number, width: number) => String(text).padStart(width);

function detectionTable(): void {
  const points = sizes.map(measureDetection);
  console.log('| images, containers | CPU, median of 9 | CPU of the first | memory above idle |');
  console.log('| -----------------: | ---------------: | ---------------: | ----------------: |');
  for (const { imageCount, cpuMs, firstCpuMs, aboveIdleBytes } of points) {
    const count = `${imageCount}, ${imageCount / 2}`;
    const [cpu, first] = [cpuMs, firstCpuMs].map((ms) => `${ms.toFixed(0)} ms`);
    const memory = `${(aboveIdleBytes / 2 ** 20).toFixed(0)} MiB`;
    console.log(
      `| ${pad(count, 18)} | ${pad(cpu!, 16)} | ${pad(first!, 16)} | ${pad(memory, 17)} |`,
    );
  }
  console.log(
    `\nCPU grows with the number of images to the power of ${exponent(points).toFixed(2)}.\n`,
  );
}

function availableBytes(stack: Stack): number {
  const { bavail, bsize } = statfsSync(stack.containerd.root);
  return bavail * bsize;
}

async function pullAll(stack: Stack, references: readonly string[]): Promise<void> {
  const queue = [...references];
  const pull = async () => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop())
      await stack.pullImage(next);
  };
  await Promise.all([pull(), pull(), pull(), pull()]);
}

/** Milliseconds an image: bare calls one after the other, and the worker's own collection. */
async function measureCollection(): Promise<{ bareMs: number[]; workerMs: number[] }> {
  const stack = await startStack({ filesystemMb: 2000 });
  const nats = await connect({ servers: stack.nats.url });
  const images = connectImageService({ endpoint: stack.containerd.endpoint });
  const [bareMs, workerMs]: [number[], number[]] = [[], []];
  try {
    const pushed = [];
    for (let at = 0; at < collected; at += 1) {
      const layers = [{ seed: `bench-${at}`, sizeMb: 1 }];
      pushed.push(await stack.pushImage({ name: `bench/gc-${at}`, tag: '1', layers }));
    }
    const references = pushed.map(({ reference }) => reference);
    for (let round = 0; round < rounds; round += 1) {
      await pullAll(stack, references);
      const full = availableBytes(stack);
      const begin = performance.now();
      for (const { imageId } of pushed) await images.removeImage({ image: { image: imageId } });
      bareMs.push((performance.now() - begin) / collected);
      // What all of them free, less half an image: so the last one is needed, and no time is spent on waiting for more.
      const bytes = Math.floor(((availableBytes(stack) - full) * (collected - 0.5)) / collected);

      await pullAll(stack, references);
      const worker = await spawnApp('gc-worker', {
        env: {
          STOWAGE_NODE_NAME: 'bench',
          STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
          STOWAGE_NATS_SERVERS: stack.nats.url,
          STOWAGE_STATE_DIR: path.join(stack.dir, `gc-worker-${round}`),
          STOWAGE_COMMANDS: 'run,images',
          STOWAGE_IMAGE_MINIMUM_GC_AGE: '0',
          STOWAGE_LOG_LEVEL: 'warn',
        },
      });
      const command = async (verb: string, request: object) =>
        (
          await nats.request(`stowage.cmd.bench.gc-worker.${verb}`, JSON.stringify(request), {
            timeout: 300_000,
          })
        ).json<{ result: { removedCount: number; durationMs: number; total: number } }>();
      await eventually(() => command('images', { limit: 1 }), { what: 'the worker on NATS' });
      await eventuallyPasses(async () => {
        if ((await command('images', { limit: 1 })).result.total < collected)
          throw new Error('few');
      });
      const { result } = await command('run', { bytes });
      if (result.removedCount < collected) throw new Error(`only ${result.removedCount} removed`);
      workerMs.push(result.durationMs / result.removedCount);
      await worker.stop();
    }
    return { bareMs, workerMs };
  } finally {
    images.close();
    await nats.close();
    await stack.down();
  }
}

const sum = (times: readonly number[]): number => times.reduce((total, ms) => total + ms, 0);

async function collectionTable(): Promise<void> {
  const { bareMs, workerMs } = await measureCollection();
  const show = (times: readonly number[]) => times.map((ms) => ms.toFixed(1)).join(', ');
  console.log(
    `| ${collected} images, removed one after the other | each image, ${rounds} rounds |`,
  );
  console.log('| -------------------------------------------- | ------------------------: |');
  console.log(`| bare RemoveImage calls | ${show(bareMs)} ms |`);
  console.log(`| a collection of gc-worker | ${show(workerMs)} ms |`);
  console.log(`\nAll rounds together: ${(sum(workerMs) / sum(bareMs)).toFixed(2)}x.\n`);
}

async function main(): Promise<void> {
  console.log(`Node.js ${process.versions.node}, ${cpus()[0]?.model ?? 'unknown CPU'}, one run\n`);
  const only = process.argv[2];
  if (only !== 'collection') detectionTable();
  if (only !== 'detection') await collectionTable();
}

void main();
