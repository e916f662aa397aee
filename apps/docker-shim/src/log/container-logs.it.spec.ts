import { eventually, eventuallyPasses, startStack, type Stack } from '@stowage/testing';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { criLine, EngineLogWriter } from '../testing/engine-log-writer';
import { spawnLogProcess, type LogProcess } from '../testing/spawn-log-process';

/** Logs of containers on a real Docker Engine, copied by a process that is killed. */
let stack: Stack;
let image: string;
let shim: LogProcess;

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  image = (await stack.pushImage({ name: 'team/prints' })).reference;
  await stack.docker.api('POST', `/images/create?fromImage=${encodeURIComponent(image)}`);
  shim = spawnLogProcess(stack.dir);
});

afterAll(async () => {
  await shim.kill();
  await stack.down();
});

const read = (file: string): string => readFileSync(file, 'utf8');
/** What stands behind time, stream and tag. */
const texts = (log: string): string[] =>
  log
    .split('\n')
    .slice(0, -1)
    .map((line) => /^\S+Z std(?:out|err) [FP] (.*)$/s.exec(line)?.[1] ?? `not a line: ${line}`);
const numbers = (log: string): number[] => texts(log).map(Number);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

let started = 0;

async function run(
  script: string,
  { tty = false, config = {} }: { tty?: boolean; config?: Record<string, string> } = {},
) {
  const { Id: id } = (await stack.docker.api('POST', '/containers/create', {
    Image: image,
    Cmd: ['sh', '-c', script],
    Tty: tty,
    HostConfig: {
      NetworkMode: 'none',
      LogConfig: {
        Type: 'json-file',
        Config: { 'max-size': '1048576', 'max-file': '3', compress: 'false', ...config },
      },
    },
  })) as { Id: string };
  const logPath = path.join(stack.dir, 'pods', `app-${++started}`, '0.log');
  await shim.call('prepare', { mode: 'copy', logPath });
  await stack.docker.api('POST', `/containers/${id}/start`);
  const { LogPath: enginePath } = (await stack.docker.api('GET', `/containers/${id}/json`)) as {
    LogPath: string;
  };
  const described = { id, mode: 'copy', logPath, enginePath } as const;
  await shim.call('follow', described);
  return {
    ...described,
    described,
    ended: () => stack.docker.api('POST', `/containers/${id}/wait`),
    remove: () => stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`),
  };
}

it('copies both streams, long lines and what is no UTF-8', async () => {
  const one = await run(
    "echo out; echo err >&2; sleep 0.2; head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'a\\377b\\tc\\\\n\"'",
  );
  await one.ended();
  await shim.call('ended', one.id, { withinMs: 10_000 });
  const lines = read(one.logPath)
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' ').slice(1));
  expect(lines.slice(0, 2).sort()).toEqual([
    ['stderr', 'F', 'err'],
    ['stdout', 'F', 'out'],
  ]);
  expect(lines.slice(2).map(([stream, tag, text]) => [stream, tag, text?.length])).toEqual([
    ['stdout', 'P', 16_384],
    ['stdout', 'P', 16_384],
    ['stdout', 'F', 40_000 - 2 * 16_384],
    ['stdout', 'P', 'a\ufffdb\tc\\n"'.length],
  ]);
  expect(lines.at(-1)?.[2]).toBe('a\ufffdb\tc\\n"');
  await one.remove();
});

it('keeps the carriage returns of a terminal', async () => {
  const one = await run('echo one; echo two >&2', { tty: true });
  await one.ended();
  await shim.call('ended', one.id, { withinMs: 10_000 });
  expect(texts(read(one.logPath))).toEqual(['one\r', 'two\r']);
  expect(read(one.logPath)).not.toContain('stderr');
  await one.remove();
});

// D05
it('a log that is rotated while its container prints has every line once, in old and new file', async () => {
  const one = await run(
    'i=0; while :; do i=$((i+1)); echo $i; [ $((i % 50)) = 0 ] && sleep 0.01; done',
  );
  const rotated: string[] = [];
  for (let time = 1; time <= 3; time += 1) {
    await eventually(() => read(one.logPath).length > 10_000);
    rotated.push(`${one.logPath}.2026112${time}-100000`);
    renameSync(one.logPath, rotated.at(-1)!);
    await shim.call('reopen', one.id);
    const { size, mode } = lstatSync(one.logPath);
    expect(size).toBeLessThan(lstatSync(rotated.at(-1)!).size);
    expect(mode & 0o777).toBe(0o640);
  }
  await eventually(() => read(one.logPath).length > 10_000);
  await stack.docker.api('POST', `/containers/${one.id}/kill`);
  await one.ended();
  await shim.call('ended', one.id, { withinMs: 10_000 });
  const all = numbers([...rotated, one.logPath].map(read).join(''));
  expect(all.length).toBeGreaterThan(1000);
  expect(all).toEqual(upTo(all.length));
  await expect(shim.call('reopen', one.id)).rejects.toThrow('is not running');
  await one.remove();
});

/** Resolves when the engine has written or rotated. */
async function written(enginePath: string): Promise<void> {
  const before = lstatSync(enginePath);
  await eventually(() => {
    const now = lstatSync(enginePath);
    return now.ino !== before.ino || now.size > before.size;
  });
}

// D06
it('every line is there once after the process was killed again and again', async () => {
  // The engine rotates as well: some 100 KiB for a thousand lines, in files of 1 MiB.
  const total = 40_000;
  const one = await run(
    `i=0; while [ $i -lt ${total} ]; do i=$((i+1)); echo $i; [ $((i % 100)) = 0 ] && sleep 0.01; done; sleep 1000`,
  );
  for (let time = 0; time < 5; time += 1) {
    const { size } = lstatSync(one.logPath);
    await eventually(() => lstatSync(one.logPath).size > size + 20_000 * time);
    await shim.kill();
    await written(one.enginePath);
    expect(lstatSync(one.logPath).isFile()).toBe(true);
    shim = spawnLogProcess(stack.dir);
    await shim.call('follow', one.described);
  }
  await eventually(() => read(one.logPath).endsWith(` ${total}\n`), { timeoutMs: 60_000 });
  expect(numbers(read(one.logPath))).toEqual(upTo(total));
  expect(shim.stderr).toBe('');
  await one.remove();
});

it('what was written while the process was down follows, also of a container that has ended', async () => {
  const one = await run('echo 1; sleep 1; echo 2; echo 3');
  await eventually(() => numbers(read(one.logPath)).length === 1);
  await shim.kill();
  await one.ended();
  shim = spawnLogProcess(stack.dir);
  await shim.call('follow', one.described);
  await shim.call('ended', one.id, { withinMs: 10_000 });
  expect(numbers(read(one.logPath))).toEqual([1, 2, 3]);
  // Nothing is copied again by a third one.
  await shim.kill();
  shim = spawnLogProcess(stack.dir);
  await shim.call('follow', one.described);
  await shim.call('ended', one.id, { withinMs: 10_000 });
  expect(numbers(read(one.logPath))).toEqual([1, 2, 3]);
  await one.remove();
});

it('follows an engine that rotates several times a second', async () => {
  const total = 20_000;
  const one = await run(
    `i=0; while [ $i -lt ${total} ]; do i=$((i+1)); echo $i; [ $((i % 100)) = 0 ] && sleep 0.02; done`,
    { config: { 'max-size': '65536' } },
  );
  await one.ended();
  await shim.call('ended', one.id, { withinMs: 30_000 });
  expect(numbers(read(one.logPath))).toEqual(upTo(total));
  await one.remove();
});

it('waits while the disk of the target is full, and then goes on with every line', async () => {
  const folder = path.join(stack.dir, 'small');
  const engine = path.join(stack.dir, 'engine-small');
  mkdirSync(folder);
  mkdirSync(engine);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder]);
  try {
    const writer = new EngineLogWriter(engine);
    const ballast = path.join(folder, 'ballast');
    const logPath = path.join(folder, '0.log');
    writeFileSync(ballast, Buffer.alloc(200 * 1024));
    await shim.call('follow', { id: 'full', mode: 'copy', logPath, enginePath: writer.path });
    for (let number = 0; number < 150; number += 1) writer.write(`${'x'.repeat(997)}${number}\n`);
    await eventually(() => shim.stderr.includes('cannot be copied'));
    const before = performance.now();
    await shim.call('ended', 'full', { withinMs: 100 });
    expect(performance.now() - before).toBeLessThan(2000);
    // Also over the end of the process, in the middle of a line.
    await shim.kill();
    expect(read(logPath)).toBe(writer.expected().slice(0, lstatSync(logPath).size));
    shim = spawnLogProcess(stack.dir);
    await shim.call('follow', { id: 'full', mode: 'copy', logPath, enginePath: writer.path });
    appendFileSync(ballast, '');
    // Kubelet rotates, which needs no space: the new file begins with a whole line.
    renameSync(logPath, `${logPath}.old`);
    await shim.call('reopen', 'full');
    expect(read(`${logPath}.old`)).toMatch(/^$|\n$/);
    rmSync(ballast);
    const last = writer.write('last\n');
    await eventuallyPasses(() => expect(read(logPath).endsWith(criLine(last))).toBe(true));
    expect(read(`${logPath}.old`) + read(logPath)).toBe(writer.expected());
    await shim.call('removed', 'full');
  } finally {
    await shim.kill();
    execFileSync('umount', [folder]);
    shim = spawnLogProcess(stack.dir);
  }
});
