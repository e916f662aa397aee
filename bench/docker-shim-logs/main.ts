// What copying logs costs docker-shim: CPU at 50 MiB/s of the engine's log, and with 100 containers
// that write nothing. `node tools/run-ts.mjs bench/docker-shim-logs/main.ts`; prints the tables of
// docs/benchmarks.md. Needs `node tools/build.mjs docker-shim` before it.
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import path from 'node:path';

const root = path.resolve(__dirname, '../..');
const lineBytes = [100, 250, 1000, 16_000];
const mebibytesPerSecond = 50;
const copySeconds = 15;
const quiet = { containers: 100, seconds: 30 };
/** Of one core. */
const limits = { copy: 0.5, quiet: 0.01 };

interface Copied {
  readonly mebibytesPerSecond: number;
  readonly cores: number;
  readonly lateMs: number;
  readonly isWhole: boolean;
  readonly hasGap: boolean;
}

/** In a process of its own, that writes and starts the one that copies. */
function measure(...args: (string | number)[]): unknown {
  const script = path.join(root, 'apps/docker-shim/src/testing/measure-logs.ts');
  const env = { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') };
  const commandLine = ['--import', 'tsx', script, ...args.map(String)];
  return JSON.parse(
    execFileSync(process.execPath, commandLine, { cwd: root, env, encoding: 'utf8' }),
  );
}

const percent = (cores: number): string => `${(cores * 100).toFixed(1)} %`;
const verdict = (cores: number, limit: number): string => (cores <= limit ? 'yes' : 'NO');

console.log(`Node.js ${process.versions.node}, ${cpus()[0]?.model ?? ''}, one run\n`);
console.log(
  `| line | engine's log | CPU of a core | at most ${percent(limits.copy)} | last line late by | complete |`,
);
console.log('| ---: | ---: | ---: | --- | ---: | --- |');
for (const bytes of lineBytes) {
  const copied = measure('copy', bytes, mebibytesPerSecond, copySeconds) as Copied;
  const row = [
    `${bytes} bytes`,
    `${copied.mebibytesPerSecond.toFixed(0)} MiB/s`,
    percent(copied.cores),
    verdict(copied.cores, limits.copy),
    `${copied.lateMs.toFixed(0)} ms`,
    copied.isWhole ? 'yes' : copied.hasGap ? 'rotated away' : 'NO',
  ];
  console.log(`| ${row.join(' | ')} |`);
}
const { cores } = measure('quiet', quiet.containers, quiet.seconds) as { cores: number };
console.log(
  `\n${quiet.containers} containers that write nothing: ${percent(cores)} of a core, ` +
    `at most ${percent(limits.quiet)}: ${verdict(cores, limits.quiet)}`,
);
