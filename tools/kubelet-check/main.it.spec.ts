import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@stowage/testing';
import { controlGroupHierarchies } from '../matrix/enter';
import { controlGroupOf } from './control-group';

const project = path.resolve(__dirname, '../..');
let folder: string;
let kubelet: string;

beforeAll(() => {
  if (process.getuid?.() !== 0) {
    throw new Error('The check makes namespaces: run the tests as root or with sudo.');
  }
  folder = mkdtempSync(path.join(tmpdir(), 'stowage-kubelet-check-'));
  // One that starts and never answers: the run is then in the middle of everything.
  kubelet = path.join(folder, 'kubelet');
  writeFileSync(kubelet, '#!/bin/sh\nwhile :; do sleep 1; done\n');
  chmodSync(kubelet, 0o700);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const check = (...args: string[]): ChildProcess =>
  spawn(
    process.execPath,
    ['--import', require.resolve('tsx'), path.join(__dirname, 'main.ts'), ...args],
    {
      cwd: project,
      env: { ...process.env, TSX_TSCONFIG_PATH: path.join(project, 'tsconfig.json') },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
const start = (): ChildProcess =>
  check('--kubelet', kubelet, '--containerd', 'machine', '--dir', path.join(folder, 'dir'));

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // gone meanwhile
  }
};
const pids = (): string[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

/** The pid namespace that the kubelet of this run is in, as soon as there is one. */
const namespaceOfKubelet = (): string | undefined => {
  // What is bound into the root has the name that it has there.
  const pid = pids().find(
    (one) =>
      read(`/proc/${one}/cmdline`).includes('/opt/kubelet-check/kubelet\0--config\0') &&
      read(`/proc/${one}/mountinfo`).includes(folder),
  );
  return pid === undefined ? undefined : readlinkSync(`/proc/${pid}/ns/pid`);
};
const processesIn = (namespace: string): string[] =>
  pids().filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/ns/pid`) === namespace;
    } catch {
      return false;
    }
  });

const sysctls = ['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'];

/** What a run could leave on the machine. */
const traces = () => {
  const root = path.join(folder, 'dir/roots/kubelet-machine');
  return {
    groups: controlGroupHierarchies()
      .map((hierarchy) => path.join(hierarchy, controlGroupOf(root)))
      .filter(existsSync),
    mounts: read('/proc/self/mountinfo')
      .split('\n')
      .filter((line) => line.includes(folder)),
    sysctls: sysctls.map((name) => read(path.join('/proc/sys', name))),
    temporary: existsSync(path.join(root, 'tmp')) ? readdirSync(path.join(root, 'tmp')) : [],
  };
};

async function untilInTheMiddle(run: ChildProcess): Promise<string> {
  return eventually(
    () => {
      if (run.exitCode != null) throw new Error(`the run ended with ${run.exitCode}`);
      return namespaceOfKubelet();
    },
    { what: 'kubelet to be started', timeoutMs: 120_000 },
  );
}

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)(
  'a run that %s ends in the middle leaves nothing behind',
  async (signal, code) => {
    const before = traces();
    const run = start();
    const ended = once(run, 'exit');
    const namespace = await untilInTheMiddle(run);
    expect(processesIn(namespace).length).toBeGreaterThan(5); // containerd, registries, NATS
    run.kill(signal);
    expect(await ended).toEqual([code, null]);
    expect(processesIn(namespace)).toEqual([]);
    expect(traces()).toEqual(before);
  },
  300_000,
);

it('a run that is killed takes its processes along, and the next one removes the rest', async () => {
  const before = traces();
  const killed = start();
  const namespace = await untilInTheMiddle(killed);
  killed.kill('SIGKILL');
  await eventually(() => processesIn(namespace).length === 0, {
    what: 'all processes to end',
    timeoutMs: 30_000,
  });
  expect(traces()).toMatchObject({ mounts: [], sysctls: before.sysctls });
  const next = start();
  const ended = once(next, 'exit');
  await untilInTheMiddle(next);
  next.kill('SIGINT');
  await ended;
  expect(traces()).toEqual(before);
}, 300_000);

it.each([
  [['--kubelet', '/no/such/file'], /\/no\/such\/file is not there, or is no program/],
  [[], /--kubelet FILE is missing/],
  [
    ['--kubelet', process.execPath, '--only', 'pods,nothing'],
    /no scenario is called nothing; there are pods, /,
  ],
  [
    ['--kubelet', process.execPath, '--ways', 'other'],
    /no way is called other; there are suite, routing/,
  ],
  [['--kubelet', process.execPath, '--soak', 'long'], /--soak long: a number of minutes/],
  [
    ['--kubelet', process.execPath, '--containerd', 'debian1'],
    /debian1 is not there, or is no program/,
  ],
  [
    ['--kubelet', process.execPath, '--docker', '28.5'],
    /--docker 28.5: there are machine, debian13, debian-testing/,
  ],
  [
    ['--kubelet', process.execPath, '--only', 'engine-restart'],
    /engine-restart needs --docker WHAT/,
  ],
  [['--kubelet', process.execPath, '--only', 'soak'], /--only soak needs --soak MINUTES/],
  [['--wrong'], /Unknown option '--wrong'/],
])('%j is refused with what is wrong', (args, message) => {
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', require.resolve('tsx'), path.join(__dirname, 'main.ts'), ...args],
    {
      cwd: project,
      encoding: 'utf8',
      env: { ...process.env, TSX_TSCONFIG_PATH: path.join(project, 'tsconfig.json') },
    },
  );
  expect(stderr).toMatch(message);
  expect(status).toBe(64);
});
