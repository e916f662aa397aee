import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '@stowage/testing';
import { enter, removeLeftovers, type EnterOptions } from './enter';

const applets = ['sh', 'mount', 'umount', 'rmdir', 'cat', 'ls', 'ip', 'sleep', 'readlink', 'touch'];
/** In the environment of every process of these tests. */
const marker = `MATRIX_TEST=${randomBytes(8).toString('hex')}`;
const env = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  [marker.split('=')[0]!]: marker.split('=')[1]!,
};

let folder: string;
let root: string;
let log: string;

beforeAll(() => {
  if (process.getuid?.() !== 0) {
    throw new Error('Entering a root needs root: run the tests as root or with sudo.');
  }
  if (!existsSync('/bin/busybox')) {
    throw new Error('/bin/busybox is not there: apt-get install busybox-static');
  }
});

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'matrix-'));
  root = path.join(folder, 'root');
  log = path.join(folder, 'log');
  mkdirSync(path.join(root, 'bin'), { recursive: true });
  copyFileSync('/bin/busybox', path.join(root, 'bin/busybox'));
  for (const applet of applets) symlinkSync('busybox', path.join(root, 'bin', applet));
});

afterEach(() => {
  expect(running()).toEqual([]);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(folder);
  rmSync(folder, { recursive: true });
});

/** Processes of these tests, in whatever namespace. */
function running(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(marker);
    } catch {
      return false; // gone, or no process
    }
  });
}

const start = (script: string, options: Partial<EnterOptions> = {}) =>
  enter(root, ['sh', '-c', script], { network: 'own', env, log, ...options });
const output = () => readFileSync(log, 'utf8');
const isThere = (file: string) =>
  eventually(() => existsSync(path.join(root, file)), { what: file, timeoutMs: 20_000 });

it('a command sees the files of its root, and processes and a network of its own', async () => {
  writeFileSync(path.join(folder, 'of-the-machine'), '');
  const script = `
    ls -a / ; echo
    ls "${folder}" /.machine 2>&1; echo
    for kind in mnt pid net; do readlink /proc/self/ns/$kind; done; echo
    ls -d /proc/[0-9]*; echo
    ip -o link show; echo
    echo $(ls /sys/class/net) $(ls -d /sys/fs/cgroup)`;
  expect(await start(script).ended).toBe(0);
  const [files = '', machine = '', namespaces = '', processes = '', links = '', sys = ''] =
    output().split('\n\n');
  expect(files.split('\n').sort()).toEqual(
    ['.', '..', 'bin', 'dev', 'proc', 'run', 'sys', 'tmp'].sort(),
  );
  expect(machine).toMatch(/No such file or directory\n.*No such file or directory/);
  const own = ['mnt', 'pid', 'net'].map((kind) => readlinkSync(`/proc/self/ns/${kind}`));
  expect(namespaces.split('\n').filter((name) => own.includes(name))).toEqual([]);
  // The first process and the shell.
  expect(processes.split('\n')).toEqual(['/proc/1', expect.stringMatching(/^\/proc\/\d\d?$/)]);
  expect(links.trim().split('\n')).toEqual([expect.stringMatching(/^1: lo: <LOOPBACK,UP,/)]);
  expect(sys.trim()).toBe('lo /sys/fs/cgroup');
});

it('everyone may make temporary files in it, and they are gone at the next start', async () => {
  expect(await start('ls -ld /tmp; touch /tmp/left').ended).toBe(0);
  expect(output()).toMatch(/^drwxrwxrwt /);
  removeLeftovers(root);
  expect(readdirSync(path.join(root, 'tmp'))).toEqual([]);
});

it('it sees the network of the machine where packages are fetched', async () => {
  expect(await start('readlink /proc/self/ns/net', { network: 'machine' }).ended).toBe(0);
  expect(output().trim()).toBe(readlinkSync('/proc/self/ns/net'));
});

it.each([
  ['folder', 'shared', '/mnt/shared/file', 'touch /mnt/shared/another'],
  ['file', 'shared/file', '/mnt/shared/file', 'echo more >> /mnt/shared/file'],
])('a %s that is bound is there, and cannot be written to', async (_kind, from, seen, write) => {
  mkdirSync(path.join(folder, 'shared'));
  writeFileSync(path.join(folder, 'shared/file'), 'as on the machine\n');
  const binds = [{ from: path.join(folder, from), to: path.join('/mnt', from) }];
  expect(await start(`cat ${seen}; ${write}`, { binds }).ended).not.toBe(0);
  expect(output()).toMatch(/^as on the machine\n.*Read-only file system/);
});

it('its exit code is handed on, after what it left behind has cleaned up', async () => {
  expect(await start('(sleep 1; touch /cleaned) & exit 7').ended).toBe(7);
  expect(existsSync(path.join(root, 'cleaned'))).toBe(true);
});

it('a command that is asked to end may clean up', async () => {
  const step = start('trap "touch /cleaned; exit 9" TERM; touch /started; sleep 1000 & wait');
  await isThere('started');
  await step.stop();
  expect(await step.ended).toBe(9);
  expect(existsSync(path.join(root, 'cleaned'))).toBe(true);
});

it('one that does not end is ended, with all that it started', async () => {
  const step = start('trap "" TERM; (trap "" TERM; sleep 1000) & touch /started; sleep 1000');
  await isThere('started');
  await step.stop({ graceMs: 300 });
  expect(running()).toEqual([]);
  expect(await step.ended).not.toBe(0);
});

it('nothing outlives the one who entered, also at SIGKILL', async () => {
  const call = `require(${JSON.stringify(path.join(__dirname, 'enter.ts'))})
    .enter(${JSON.stringify(root)}, ['sh', '-c', 'sleep 1000 & touch /started; sleep 1000'], { network: 'own', env: ${JSON.stringify(env)} })`;
  const runner = spawn(
    process.execPath,
    ['--require', require.resolve('tsx/cjs'), '--eval', call],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  await isThere('started');
  expect(running().length).toBeGreaterThan(2);
  runner.kill('SIGKILL');
  await once(runner, 'exit');
  await eventually(() => running().length === 0, { what: 'the end of all processes' });
});

it('the next start removes folders and control groups that one left that was killed', () => {
  const id = randomBytes(32).toString('hex');
  const stack = path.join(root, 'tmp/stowage-testing-0/0123abcd');
  mkdirSync(path.join(stack, 'state/io.containerd.runtime.v2.task/k8s.io', id), {
    recursive: true,
  });
  const [hierarchy] = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4]!);
  const group = path.join(hierarchy!, 'k8s.io', id);
  const ofAnother = path.join(hierarchy!, 'k8s.io', randomBytes(32).toString('hex'));
  mkdirSync(path.join(group, 'child'), { recursive: true });
  mkdirSync(ofAnother);
  try {
    removeLeftovers(root);
    expect([existsSync(group), existsSync(ofAnother)]).toEqual([false, true]);
  } finally {
    rmdirSync(ofAnother);
  }
  expect(readdirSync(path.join(root, 'tmp'))).toEqual([]);
});
