// What image-service adds to pulls, against the runtime called directly: same registry, same
// images, one run. `node tools/run-ts.mjs bench/pull/main.ts`; prints the table of
// docs/benchmarks.md. Needs the build of image-service, containerd and root.
import { connectImageService, type ImageServiceClient } from '@stowage/cri-client';
import { eventually, spawnApp, startStack, type PushedImage } from '@stowage/testing';
import { execFileSync, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';

const rounds = { added: 120, shared: 15, many: 24, ctr: 4 };
const callers = 50;
const parallel = 4;

/**
 * Medians of the times, and of the differences and ratios round by round: what slows the machine
 * meets both of a round.
 */
interface Comparison {
  readonly direct: number;
  readonly service: number;
  readonly added: number;
  readonly ratio: number;
  /** Standard errors of the means of the differences and of the ratios. */
  readonly errors: { readonly added: number; readonly ratio: number };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

const median = (times: readonly number[]): number =>
  [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;

function standardError(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}

/** Gives processes the cores of a list such as `0` or `0-3`, with all their threads. */
function pin(pids: readonly (number | undefined)[], cores: string): void {
  for (const pid of pids) {
    execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', cores, String(pid)]);
  }
}

const met = (isMet: boolean) => (isMet ? 'yes' : 'NO');
const ms = (time: number) => `${time.toFixed(1)} ms`;
const byRound = ({ ratio, errors }: Comparison) =>
  `x${ratio.toFixed(2)} ± ${errors.ratio.toFixed(2)}`;

async function bench(): Promise<void> {
  const stack = await startStack();
  const version = Object.values(stack.containerd.version).join('.');
  const socket = path.join(stack.dir, 'bench.sock');
  const app = await spawnApp('image-service', {
    env: {
      STOWAGE_LISTEN: socket,
      STOWAGE_STATE_DIR: path.join(stack.dir, 'bench-state'),
      STOWAGE_RUNTIME_ENDPOINT: stack.containerd.endpoint,
      STOWAGE_NATS_SERVERS: stack.nats.url,
      STOWAGE_MAX_PARALLEL_IMAGE_PULLS: String(parallel),
    },
  });
  const direct = connectImageService({ endpoint: stack.containerd.endpoint });
  const service = connectImageService({ endpoint: `unix://${socket}` });
  const leastSocket = path.join(stack.dir, 'least.sock');
  const leastForwarder = fork(path.join(__dirname, 'least-forwarder.ts'), [
    leastSocket,
    stack.containerd.socket,
  ]);
  await eventually(() => existsSync(leastSocket), { what: 'the least forwarder to listen' });
  const least = connectImageService({ endpoint: `unix://${leastSocket}`, versions: 'v1' });

  const pull = (client: ImageServiceClient, { reference }: PushedImage) =>
    client.pullImage({ image: { image: reference } });

  async function remove(images: readonly PushedImage[]): Promise<void> {
    for (const { imageId } of images) await direct.removeImage({ image: { image: imageId } });
  }

  /**
   * Both ways in turns, so that the machine's moods meet both alike; the order changes with each
   * round.
   */
  async function compare(
    count: number,
    images: readonly PushedImage[],
    ways: { direct: () => Promise<unknown>; service: () => Promise<unknown> },
  ): Promise<Comparison> {
    const times = { direct: [] as number[], service: [] as number[] };
    for (let round = -1; round < count; round++) {
      const order =
        round % 2 === 0 ? (['direct', 'service'] as const) : (['service', 'direct'] as const);
      for (const way of order) {
        await remove(images);
        const time = await timed(ways[way]);
        // The first round warms up.
        if (round >= 0) times[way].push(time);
      }
    }
    await remove(images);
    const pairs = times.direct.map((time, round) => [time, times.service[round] ?? NaN] as const);
    const differences = pairs.map(([first, second]) => second - first);
    const ratios = pairs.map(([first, second]) => second / first);
    return {
      direct: median(times.direct),
      service: median(times.service),
      added: median(differences),
      ratio: median(ratios),
      errors: { added: standardError(differences), ratio: standardError(ratios) },
    };
  }

  /** As many callers as may pull at once, each taking the next image. */
  async function fourCallers(
    images: readonly PushedImage[],
    pullOne: (image: PushedImage) => Promise<unknown>,
  ): Promise<void> {
    const left = [...images];
    const caller = async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) await pullOne(next);
    };
    await Promise.all(Array.from({ length: parallel }, caller));
  }

  const rows: string[][] = [];
  try {
    const small = await stack.pushImage({ name: 'bench/small' });
    const added = await compare(rounds.added, [small], {
      direct: () => pull(direct, small),
      service: () => pull(service, small),
    });
    const signed = ({ added: by, errors }: Comparison) =>
      `${by >= 0 ? '+' : ''}${by.toFixed(1)} ± ${ms(errors.added)}`;
    rows.push([
      'one pull of a 2 MB image, median',
      ms(added.direct),
      ms(added.service),
      signed(added),
      'at most +5 ms',
      met(added.added <= 5),
    ]);
    const leastAdded = await compare(rounds.added, [small], {
      direct: () => pull(direct, small),
      service: () => pull(least, small),
    });
    rows.push([
      'the same through a gRPC service that only forwards',
      ms(leastAdded.direct),
      ms(leastAdded.service),
      signed(leastAdded),
      '',
      '',
    ]);

    const one = await stack.pushImage({ name: 'bench/one', sizeMb: 40 });
    const shared = await compare(rounds.shared, [one], {
      direct: () => pull(direct, one),
      service: () => Promise.all(Array.from({ length: callers }, () => pull(service, one))),
    });
    rows.push([
      `one direct pull of 40 MB; ${callers} callers of it`,
      ms(shared.direct),
      ms(shared.service),
      byRound(shared),
      'at most x1.1',
      met(shared.ratio <= 1.1),
    ]);

    const images: PushedImage[] = [];
    for (let count = 0; count < 20; count++) {
      const layers = [{ seed: `bench-${count}`, sizeMb: 20 }];
      images.push(await stack.pushImage({ name: `bench/many-${count}`, layers }));
    }
    const together = () => Promise.all(images.map((image) => pull(service, image)));
    const byCri = () =>
      compare(rounds.many, images, {
        direct: () => fourCallers(images, (image) => pull(direct, image)),
        service: together,
      });
    const runtime = [stack.containerd.pid, stack.registry.open.pid];
    const others = [process.pid, app.pid, stack.nats.pid];
    pin(runtime, '0');
    pin(others, '1');
    const apart = await byCri();
    pin([...runtime, ...others], `0-${cpus().length - 1}`);
    const crowded = await byCri();
    const byCtr = await compare(rounds.ctr, images, {
      direct: () =>
        fourCallers(images, ({ reference }) =>
          stack.containerd.ctr('images', 'pull', '--plain-http', reference),
        ),
      service: together,
    });
    const almost = 1.05;
    for (const [what, result, limit] of [
      [
        '20 images of 20 MB, the runtime on a core of its own: four callers of CRI; cap 4',
        apart,
        almost,
      ],
      ['the same, all processes on all cores', crowded, almost],
      ['the same, four callers of ctr; cap 4', byCtr, 1],
    ] as const) {
      rows.push([
        what,
        ms(result.direct),
        ms(result.service),
        byRound(result),
        limit === 1 ? 'as fast' : `at most x${limit}`,
        met(result.ratio <= limit),
      ]);
    }
  } finally {
    direct.close();
    service.close();
    least.close();
    leastForwarder.kill();
    await app.stop();
    await stack.down();
  }

  console.log(
    `Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? '?'}, containerd ${version}\n`,
  );
  console.log('| what | directly | image-service | by round | wanted | met |');
  console.log('|---|---|---|---|---|---|');
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
  process.exitCode = rows.every((row) => row.at(-1) !== met(false)) ? 0 : 1;
}

void bench();
