// CPU of copying logs, for bench/docker-shim-logs: `measure-logs copy LINE_BYTES MB_PER_S SECONDS`
// or `measure-logs quiet CONTAINERS SECONDS`. Prints JSON.
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { engineLine } from './engine-log-writer';
import { spawnLogProcess } from './spawn-log-process';

const mebibyte = 1024 * 1024;
const rotateBytes = 16 * mebibyte;
const stepMs = 20;

/** CPU time of all threads of a process so far. */
function cpuMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // Clock ticks of 10 ms.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const folder = mkdtempSync(path.join(tmpdir(), 'stowage-bench-'));
const shim = spawnLogProcess(folder);

function follow(id: string) {
  const engine = path.join(folder, 'engine', id);
  mkdirSync(engine, { recursive: true });
  const enginePath = path.join(engine, `${id}-json.log`);
  writeFileSync(enginePath, '');
  const logPath = path.join(folder, 'pods', id, '0.log');
  return { id, mode: 'copy', logPath, enginePath } as const;
}

/** A log that grows evenly, as the engine's does, and is rotated as it does. */
async function copy(lineBytes: number, mebibytesPerSecond: number, seconds: number) {
  const container = follow('busy');
  await shim.call('follow', container);
  const text = `${'a log line of a container '.repeat(1000).slice(0, lineBytes - 1)}\n`;
  const line = engineLine({ text, stream: 'stdout', time: '2026-11-29T10:00:00.123456789Z' });
  const stepBytes = (mebibytesPerSecond * mebibyte * stepMs) / 1000;
  const block = Buffer.from(line.repeat(Math.round(stepBytes / line.length)));
  let file = openSync(container.enginePath, 'a');
  let [size, lines] = [0, 0];
  const write = (): void => {
    if (size >= rotateBytes) {
      closeSync(file);
      for (const to of [2, 1]) {
        const from = to === 1 ? container.enginePath : `${container.enginePath}.${to - 1}`;
        if (lstatSync(from, { throwIfNoEntry: false })) {
          renameSync(from, `${container.enginePath}.${to}`);
        }
      }
      file = openSync(container.enginePath, 'a');
      size = 0;
    }
    size += writeSync(file, block);
    lines += block.length / line.length;
  };
  const begin = performance.now();
  const cpuBefore = cpuMs(shim.pid);
  for (let next = begin; performance.now() < begin + seconds * 1000;) {
    write();
    // What was missed because others had the processor is not made up for in one go.
    next = Math.max(next + stepMs, performance.now() - 5 * stepMs);
    await pause(Math.max(0, next - performance.now()));
  }
  const writtenMs = performance.now() - begin;
  await shim.call('ended', container.id, { withinMs: 60_000 });
  const cpu = cpuMs(shim.pid) - cpuBefore;
  const lateMs = performance.now() - begin - writtenMs;
  const criLineBytes = '2026-11-29T10:00:00.123456789Z stdout F '.length + lineBytes;
  const isWhole = lstatSync(container.logPath).size === lines * criLineBytes;
  const writtenMebibytes = (lines * line.length) / mebibyte;
  return {
    lineBytes,
    mebibytesPerSecond: writtenMebibytes / (writtenMs / 1000),
    cores: cpu / writtenMs,
    lateMs,
    isWhole,
    /** Files that were removed, by the rotation, before they were copied. */
    hasGap: shim.stderr.includes('gaps'),
  };
}

async function quiet(count: number, seconds: number) {
  for (let index = 0; index < count; index += 1)
    await shim.call('follow', follow(`quiet-${index}`));
  // Until all are watched.
  await pause(5000);
  const begin = performance.now();
  const cpuBefore = cpuMs(shim.pid);
  await pause(seconds * 1000);
  const cores = (cpuMs(shim.pid) - cpuBefore) / (performance.now() - begin);
  return { count, cores };
}

async function main(): Promise<void> {
  const [what, ...args] = process.argv.slice(2);
  const [first = 0, second = 0, third = 0] = args.map(Number);
  try {
    const result = what === 'quiet' ? await quiet(first, second) : await copy(first, second, third);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } finally {
    await shim.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

void main();
