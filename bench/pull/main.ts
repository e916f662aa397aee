// What image-service adds to pulls, against the runtime called directly: same registry, same
// images, one run. `node tools/run-ts.mjs bench/pull/main.ts [--only one] [--rounds N]`; prints the
// table of docs/benchmarks.md. Needs the build of image-service, containerd and root.
import { connectImageService, type ImageServiceClient } from '@stowage/cri-client';
import { eventually, spawnApp, startStack, type PushedImage } from '@stowage/testing';
import { execFileSync, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { countOption } from '../count-option';

const { values } = parseArgs({
  options: {
    /** `one`: the pulls of one image by one caller alone. */
    only: { type: 'string' },
    /** How often one image is pulled each way. */
    rounds: { type: 'string', default: '400' },
  },
});
if (values.only !== undefined && values.only !== 'one') {
  throw new Error(`--only ${values.only}: allowed: one`);
}
const rounds = { one: countOption('rounds', values.rounds), shared: 15, many: 24, ctr: 4 };
const callers = 50;
const parallel = 4;

/**
 * Medians of the times of a way, and of its differences from `direct` and its ratios to it round by
 * round: what slows the machine meets all ways of a round.
 */
interface Comparison {
  readonly direct: number;
  readonly time: number;
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

function comparison(direct: readonly number[], others: readonly number[]): Comparison {
  const pairs = direct.map((time, round) => [time, others[round] ?? NaN] as const);
  const differences = pairs.map(([first, second]) => second - first);
  const ratios = pairs.map(([first, second]) => second / first);
  return {
    direct: median(direct),
    time: median(others),
    added: median(differences),
    ratio: median(ratios),
    errors: { added: standardError(differences), ratio: standardError(ratios) },
  };
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
   * All ways in turns, so that the machine's moods meet them alike; each goes first as often as the
   * others.
   */
  async function compare<Way extends string>(
    count: number,
    images: readonly PushedImage[],
    direct: () => Promise<unknown>,
    ways: Readonly<Record<Way, () => Promise<unknown>>>,
  ): Promise<Record<Way, Comparison>> {
    const others = Object.keys(ways) as Way[];
    const turns = [
      { work: direct, times: [] as number[] },
      ...others.map((way) => ({ work: ways[way], times: [] as number[] })),
    ];
    for (let round = -1; round < count; round++) {
      const first = (round + 1) % turns.length;
      for (const { work, times } of [...turns.slice(first), ...turns.slice(0, first)]) {
        await remove(images);
        const time = await timed(work);
        // The first round warms up.
        if (round >= 0) times.push(time);
      }
    }
    await remove(images);
    const [directly, ...times] = turns.map((turn) => turn.times);
    return Object.fromEntries(
      others.map((way, index) => [way, comparison(directly ?? [], times[index] ?? [])]),
    ) as Record<Way, Comparison>;
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

  /** One image, one caller; beside it the least that a gRPC service can do. */
  async function onePull(): Promise<string[][]> {
    const small = await stack.pushImage({ name: 'bench/small' });
    const { service: added, least: leastAdded } = await compare(
      rounds.one,
      [small],
      () => pull(direct, small),
      { service: () => pull(service, small), least: () => pull(least, small) },
    );
    const signed = ({ added: by, errors }: Comparison) =>
      `${by >= 0 ? '+' : ''}${by.toFixed(1)} ± ${ms(errors.added)}`;
    return [
      [
        'one pull of a 2 MB image, median',
        ms(added.direct),
        ms(added.time),
        signed(added),
        'at most +3 ms',
        met(added.added <= 3),
      ],
      [
        'the same through a gRPC service that only forwards',
        ms(leastAdded.direct),
        ms(leastAdded.time),
        signed(leastAdded),
        '',
        '',
      ],
    ];
  }

  /** Many callers of one image. */
  async function sharedPull(): Promise<string[]> {
    const one = await stack.pushImage({ name: 'bench/one', sizeMb: 40 });
    const { service: shared } = await compare(rounds.shared, [one], () => pull(direct, one), {
      service: () => Promise.all(Array.from({ length: callers }, () => pull(service, one))),
    });
    return [
      `one direct pull of 40 MB; ${callers} callers of it`,
      ms(shared.direct),
      ms(shared.time),
      byRound(shared),
      'at most x1.1',
      met(shared.ratio <= 1.1),
    ];
  }

  /** Many images at once, with and without processors to spare. */
  async function manyPulls(): Promise<string[][]> {
    const images: PushedImage[] = [];
    for (let count = 0; count < 20; count++) {
      const layers = [{ seed: `bench-${count}`, sizeMb: 20 }];
      images.push(await stack.pushImage({ name: `bench/many-${count}`, layers }));
    }
    const together = () => Promise.all(images.map((image) => pull(service, image)));
    const byCri = () =>
      compare(rounds.many, images, () => fourCallers(images, (image) => pull(direct, image)), {
        service: together,
      });
    const runtime = [stack.containerd.pid, stack.registry.open.pid];
    const others = [process.pid, app.pid, stack.nats.pid];
    pin(runtime, '0');
    pin(others, '1');
    const { service: apart } = await byCri();
    pin([...runtime, ...others], `0-${cpus().length - 1}`);
    const { service: crowded } = await byCri();
    const { service: byCtr } = await compare(
      rounds.ctr,
      images,
      () =>
        fourCallers(images, ({ reference }) =>
          stack.containerd.ctr('images', 'pull', '--plain-http', reference),
        ),
      { service: together },
    );
    const almost = 1.05;
    const results = [
      [
        '20 images of 20 MB, the runtime on a core of its own: four callers of CRI; cap 4',
        apart,
        almost,
      ],
      ['the same, all processes on all cores', crowded, almost],
      ['the same, four callers of ctr; cap 4', byCtr, 1],
    ] as const;
    return results.map(([what, result, limit]) => [
      what,
      ms(result.direct),
      ms(result.time),
      byRound(result),
      limit === 1 ? 'as fast' : `at most x${limit}`,
      met(result.ratio <= limit),
    ]);
  }

  const rows: string[][] = [];
  try {
    rows.push(...(await onePull()));
    if (values.only === undefined) rows.push(await sharedPull(), ...(await manyPulls()));
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
