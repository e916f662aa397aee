import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { createContext, Script } from 'node:vm';
import { parseFamiliarName } from '@swimlane/docker-reference';
import dockerParseImage from 'docker-parse-image';
import { Bench } from 'tinybench';
import { normalizeReference, referenceToString } from '@stowage/image-ref';

/*
 * Full name of an image string, by this workspace and by two npm packages: nanoseconds a parse
 * (median), how many of the conformance cases each gets right, and what an input that is refused
 * costs.
 *
 *   node tools/run-ts.mjs bench/image-ref/main.ts
 */

interface Contestant {
  readonly name: string;
  /** Full name of the image; throws where the input is refused. */
  readonly fullName: (image: string) => string;
}

const contestants: readonly Contestant[] = [
  { name: '@stowage/image-ref', fullName: (image) => referenceToString(normalizeReference(image)) },
  {
    name: '@swimlane/docker-reference 2.0.1',
    fullName: (image) => parseFamiliarName(image).toString(),
  },
  {
    name: 'docker-parse-image 3.0.1',
    fullName: (image) => {
      const parsed = dockerParseImage(image);
      if (parsed == null) throw new Error('refused');
      return parsed.fullname;
    },
  },
];

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const workloads: readonly { readonly name: string; readonly image: string }[] = [
  { name: 'short name', image: 'nginx' },
  { name: 'Docker Hub, tag', image: 'bitnami/postgresql:16.4.0-debian-12-r3' },
  { name: 'registry, tag', image: 'registry.example.com:5000/platform/team-a/service:v1.25.3' },
  { name: 'registry, digest', image: `ghcr.io/platform/team-a/service@${digest}` },
];

const refused: readonly { readonly name: string; readonly image: string }[] = [
  { name: 'a space: `example.com/my service`', image: 'example.com/my service' },
  {
    name: 'a space: `registry.example.com/team/my service:v1`',
    image: 'registry.example.com/team/my service:v1',
  },
  { name: '1 KiB: `a` repeated, then `!`', image: `${'a'.repeat(1024)}!` },
  { name: '1 MiB: `a/` repeated, then `!`', image: `${'a/'.repeat(1 << 19)}!` },
];

/** A single parse is given up after this time. */
const limitMs = 2000;

/** Parses in one measured iteration, so that the clock's own cost does not show. */
const parsesPerIteration = 200;

function attempt({ fullName }: Contestant, image: string): string | undefined {
  try {
    return fullName(image);
  } catch {
    return undefined;
  }
}

async function nanosecondsPerParse(image: string): Promise<number[]> {
  const bench = new Bench({ time: 600, warmupTime: 200 });
  for (const contestant of contestants) {
    bench.add(contestant.name, () => {
      for (let count = 0; count < parsesPerIteration; count++) attempt(contestant, image);
    });
  }
  const tasks = await bench.run();
  return tasks.map(({ result }) => {
    if (result.state !== 'completed') throw new Error(`bench ended in state ${result.state}`);
    return (result.latency.p50 * 1e6) / parsesPerIteration;
  });
}

/** Cases of image-ref-normalize.json with a wanted full name or a wanted refusal. */
function conformanceCases(): { image: string; full: string | undefined }[] {
  const file = path.resolve(__dirname, '../../conformance/vectors/image-ref-normalize.json');
  const { cases } = JSON.parse(readFileSync(file, 'utf8')) as {
    cases: Record<string, { in: string; want?: { full?: string }; error?: string }[]>;
  };
  return Object.values(cases)
    .flat()
    .filter(({ want, error }) => error != null || want?.full != null)
    .map((entry) => ({ image: entry.in, full: entry.want?.full }));
}

/** The tag an image without one gets is not part of the question. */
const withoutLatest = (name: string | undefined): string | undefined =>
  name?.replace(/:latest(?=@|$)/, '');

function row(cells: readonly string[]): void {
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
}

function header(first: string): void {
  row([first, ...contestants.map(({ name }) => name)]);
  row(['---', ...contestants.map(() => '--:')]);
}

/** Each value, and its multiple of the first one. */
const sideBySide = (values: readonly number[]): string[] => {
  const [ours = 1] = values;
  return values.map((value, index) => {
    const shown = `${value.toFixed(0)} ns`;
    return index === 0 ? shown : `${shown} (${(value / ours).toFixed(value < ours ? 2 : 1)}x)`;
  });
};

async function main(): Promise<void> {
  process.stdout.write(
    `Node.js ${process.versions.node}, ${cpus()[0]?.model ?? 'unknown CPU'}, one run\n\n`,
  );
  header('time for one parse (median)');
  for (const { name, image } of workloads) {
    row([name, ...sideBySide(await nanosecondsPerParse(image))]);
  }
  process.stdout.write('\n');
  header('right answers');
  const cases = conformanceCases();
  row([
    `${cases.length} cases of image-ref-normalize.json`,
    ...contestants.map((contestant) => {
      const right = cases.filter(
        ({ image, full }) => withoutLatest(attempt(contestant, image)) === withoutLatest(full),
      );
      return `${right.length}`;
    }),
  ]);
  process.stdout.write('\n');
  header('one refused input (best of 5)');
  for (const { name, image } of refused) {
    row([name, ...contestants.map((contestant) => bestOf(5, contestant, image))]);
  }
}

/** Milliseconds of the fastest of several attempts; the first that is given up ends them. */
function bestOf(times: number, contestant: Contestant, image: string): string {
  const context = createContext({ run: () => attempt(contestant, image) });
  const script = new Script('run()');
  let bestMs = Infinity;
  for (let count = 0; count < times; count++) {
    const start = performance.now();
    try {
      script.runInContext(context, { timeout: limitMs });
    } catch {
      return `given up after ${limitMs} ms`;
    }
    bestMs = Math.min(bestMs, performance.now() - start);
  }
  return `${bestMs.toFixed(2)} ms`;
}

void main();
