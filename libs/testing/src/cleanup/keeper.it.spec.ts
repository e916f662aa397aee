import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '../eventually';
import { startStack } from '../start-stack';
import type { RunningPod } from '../types';
import { findByArgument, isAlive } from './processes';
import { findTraces } from './traces';

interface Abandoned {
  id: string;
  containerIds: string[];
  ownerPid: number;
  exited: Promise<void>;
}

/** Starts a stack with a pod in a process of its own. */
async function startElsewhere(then: 'wait' | 'exit'): Promise<Abandoned> {
  const script = path.join(__dirname, '../../testdata/start-and-wait.ts');
  const child = spawn(process.execPath, ['--import', require.resolve('tsx'), script, then], {
    cwd: path.resolve(__dirname, '../../../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  for await (const line of createInterface({ input: child.stdout })) {
    const { id, pod, owner } = JSON.parse(line) as { id: string; pod: RunningPod; owner: number };
    return { id, containerIds: [pod.podSandboxId, pod.containerId], ownerPid: owner, exited };
  }
  throw new Error('the script ended without starting a stack');
}

const countTraces = async ({ id, containerIds }: Abandoned): Promise<number> =>
  Object.values(await findTraces(id, containerIds)).flat().length;

const keeperOf = ({ ownerPid }: Abandoned) =>
  findByArgument(path.join(__dirname, 'keeper-main.ts')).filter(({ pid }) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`\0${ownerPid}-`),
  );

const untilGone = (stack: Abandoned) =>
  eventually(async () => (await countTraces(stack)) === 0, {
    timeoutMs: 60_000,
    what: 'the abandoned stack to be gone',
  });

describe('the process that started a stack', () => {
  it.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
    'is ended by %s: everything goes, and the keeper with it',
    async (signal) => {
      const stack = await startElsewhere('wait');
      const keepers = keeperOf(stack);
      expect(keepers).toHaveLength(1);
      expect(await countTraces(stack)).toBeGreaterThan(10);
      process.kill(stack.ownerPid, signal);
      await stack.exited;
      await untilGone(stack);
      await eventually(() => !keepers.some(isAlive), { what: 'the keeper to end' });
    },
  );

  it('ends by itself without taking its stack down: everything goes', async () => {
    const stack = await startElsewhere('exit');
    await stack.exited;
    await untilGone(stack);
  });

  it('is killed together with its keeper: the next stack that starts removes everything', async () => {
    const stack = await startElsewhere('wait');
    for (const { pid } of keeperOf(stack)) process.kill(pid, 'SIGKILL');
    process.kill(stack.ownerPid, 'SIGKILL');
    await stack.exited;
    expect(await countTraces(stack)).toBeGreaterThan(10);
    const next = await startStack({ containerd: false, registries: false });
    try {
      expect(await countTraces(stack)).toBe(0);
    } finally {
      await next.down();
    }
  });
});
