// What gc-worker costs: CPU and memory of detection and plan by number of images, and a collection
// of 200 images on a real containerd against bare RemoveImage calls.
// `node tools/run-ts.mjs bench/gc/main.ts`; prints the tables of docs/benchmarks.md. Needs root for
// the second, and `node tools/build.mjs gc-worker` before it.
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import path from 'node:path';
import { gcWorker, type CommandDefinition, type CommandInput } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import { connectImageService } from '@stowage/cri-client';
import { eventually, eventuallyPasses, spawnApp, startStack, type Stack } from '@stowage/testing';
import { connect } from 'nats';

const root = path.resolve(__dirname, '../..');
const sizes = [1000, 2000, 5000, 10_000, 20_000, 50_000];
const collected = 200;
/**
 * Images of one round that go by bare calls, and as many that the worker removes right before or
 * after.
 */
const batch = 10;
const rounds = collected / batch;

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

async function pullAll(stack: Stack, references: readonly string[]): Promise<void> {
  const queue = [...references];
  const pull = async () => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop())
      await stack.pullImage(next);
  };
  await Promise.all([pull(), pull(), pull(), pull()]);
}

interface Round {
  readonly bareMs: number;
  readonly workerMs: number;
}

/**
 * Milliseconds an image. Bare calls and the worker take turns in small batches, so that what else
 * the machine does meets both.
 */
async function measureCollection(): Promise<Round[]> {
  const stack = await startStack({ filesystemMb: 3000 });
  const nats = await connect({ servers: stack.nats.url });
  const images = connectImageService({ endpoint: stack.containerd.endpoint });
  try {
    const references = [];
    for (let at = 0; at < 2 * collected; at += 1) {
      // All share a base layer of 2 MB, which stays: with less of their own so much less than
      // expected comes free that the worker waits seconds for containerd's account, to look for
      // leaks, and what follows meets a cold runtime.
      const layers = [{ seed: `bench-${at}`, sizeMb: 2 }];
      const name = `bench/gc-${at}`;
      references.push((await stack.pushImage({ name, tag: '1', layers })).reference);
    }
    await pullAll(stack, references);
    const worker = await spawnApp('gc-worker', {
      env: {
        STOWAGE_NODE_NAME: 'bench',
        STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
        STOWAGE_NATS_SERVERS: stack.nats.url,
        STOWAGE_STATE_DIR: path.join(stack.dir, 'gc-worker'),
        STOWAGE_COMMANDS: 'plan,run,images',
        STOWAGE_IMAGE_MINIMUM_GC_AGE: '0',
        STOWAGE_LOG_LEVEL: 'warn',
      },
    });
    const send = <C extends CommandDefinition>(command: C, input: CommandInput<C>) =>
      sendCommand(nats, 'bench', command, input, { timeoutMs: 300_000 });
    const known = async () => {
      const reply = await send(gcWorker.images, { limit: 1 });
      return 'total' in reply ? reply.total : 0;
    };
    await eventually(() => send(gcWorker.images, { limit: 1 }), { what: 'the worker on NATS' });
    await eventuallyPasses(async () => {
      if ((await known()) < references.length) throw new Error('few');
    });

    const bare = async () => {
      const listed = (await images.listImages({})).images.filter(({ pinned }) => !pinned);
      const begin = performance.now();
      for (const { id } of listed.slice(-batch)) await images.removeImage({ image: { image: id } });
      return (performance.now() - begin) / batch;
    };
    const byWorker = async () => {
      const size = Number((await images.listImages({})).images.find(({ pinned }) => !pinned)?.size);
      const { planId } = await send(gcWorker.plan, { bytes: Math.floor(size * (batch - 0.5)) });
      const { removedCount, durationMs } = await send(gcWorker.run, { planId });
      if (removedCount !== batch) throw new Error(`${removedCount} removed, not ${batch}`);
      return durationMs / removedCount;
    };
    const measured: Round[] = [];
    for (let round = 0; round < rounds; round += 1) {
      // The store gets smaller: each goes first every other time.
      const first = round % 2 === 0 ? await bare() : undefined;
      const workerMs = await byWorker();
      measured.push({ bareMs: first ?? (await bare()), workerMs });
    }
    await worker.stop();
    return measured;
  } finally {
    images.close();
    await nats.close();
    await stack.down();
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}

async function collectionTable(): Promise<void> {
  const measured = await measureCollection();
  const ratios = measured.map(({ bareMs, workerMs }) => workerMs / bareMs);
  const ms = (values: readonly number[]) => `${median(values).toFixed(1)} ms`;
  const extremes = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratio.toFixed(2));
  console.log(`| each of ${collected} images, median of ${rounds} rounds | time    |`);
  console.log('| ------------------------------------------- | ------: |');
  console.log(
    `| bare RemoveImage call                       | ${ms(measured.map((round) => round.bareMs))} |`,
  );
  console.log(
    `| in a collection of gc-worker                | ${ms(measured.map((round) => round.workerMs))} |`,
  );
  console.log(
    `\nMedian of the ${rounds} ratios: ${median(ratios).toFixed(2)}x (${extremes.join('x to ')}x).\n`,
  );
}

async function main(): Promise<void> {
  console.log(`Node.js ${process.versions.node}, ${cpus()[0]?.model ?? 'unknown CPU'}, one run\n`);
  const only = process.argv[2];
  if (only !== 'collection') detectionTable();
  if (only !== 'detection') await collectionTable();
}

void main();
