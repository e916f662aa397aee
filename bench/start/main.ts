/**
 * How long whoever only asks a program something waits for it: `--version` and `--help` of each
 * program as it ships, beside an empty program on the same Node.js, in turns. Exits with 1 when a
 * target is missed.
 *
 * usage: node tools/run-ts.mjs bench/start/main.ts [ROUNDS]
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';

const defaultRounds = 25;
const apps = path.resolve(__dirname, '../../dist/apps');

/** Most that a program may take, as a multiple of the empty one. */
const targets = { stowctl: { '--version': 2 }, service: { '--version': 3, '--help': 3 } };

interface Contestant {
  readonly name: string;
  readonly args: readonly string[];
  /** Undefined: it is only shown. */
  readonly atMost?: number;
  readonly timesMs: number[];
  /** Its time divided by that of the empty program in the same round. */
  readonly ratios: number[];
}

function contestants(): Contestant[] {
  const of = (app: string, flag: string, atMost?: number): Contestant => ({
    name: `${app} ${flag}`,
    args: [path.join(apps, app, 'main.js'), flag],
    atMost,
    timesMs: [],
    ratios: [],
  });
  return [
    of('stowctl', '--version', targets.stowctl['--version']),
    of('stowctl', '--help'),
    ...['runtime-gateway', 'image-service', 'gc-worker', 'docker-shim'].flatMap((app) => [
      of(app, '--version', targets.service['--version']),
      of(app, '--help', targets.service['--help']),
    ]),
  ];
}

/** Milliseconds from the start of a process to its end. */
function timeOf(args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve(performance.now() - begin);
      else reject(new Error(`${args.join(' ')} ended with ${code ?? 'a signal'}`));
    });
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? defaultRounds);
  const list = contestants();
  const absent = list.find(({ args: [main = ''] }) => !existsSync(main));
  if (absent !== undefined) throw new Error(`${absent.args[0] ?? ''} is absent: npm run build`);
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-bench-'));
  const empty = path.join(folder, 'empty.js');
  writeFileSync(empty, '');
  const emptyMs: number[] = [];
  try {
    // The first round fills the file cache.
    for (let round = 0; round <= rounds; round += 1) {
      const baseMs = await timeOf([empty]);
      if (round > 0) emptyMs.push(baseMs);
      for (const { args, timesMs, ratios } of list) {
        const ms = await timeOf(args);
        if (round === 0) continue;
        timesMs.push(ms);
        ratios.push(ms / baseMs);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const [cpu] = cpus();
  process.stdout.write(
    `Node.js ${process.versions.node}, ${cpus().length} x ${cpu?.model ?? '?'}, ${rounds} rounds\n\n` +
      '| what | median | by round | wanted | met |\n| --- | --: | --: | --- | --- |\n' +
      `| an empty program | ${median(emptyMs).toFixed(0)} ms | | | |\n`,
  );
  for (const { name, atMost, timesMs, ratios } of list) {
    const ratio = median(ratios);
    const wanted = atMost === undefined ? '' : `at most x${atMost}`;
    const isMet = atMost === undefined || ratio <= atMost;
    if (!isMet) process.exitCode = 1;
    const met = atMost === undefined ? '' : isMet ? 'yes' : 'no';
    process.stdout.write(
      `| \`${name}\` | ${median(timesMs).toFixed(0)} ms | x${ratio.toFixed(2)} | ${wanted} | ${met} |\n`,
    );
  }
}

void main();
