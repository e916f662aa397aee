import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { enter, runContained, type Bind, type Entered } from './enter';
import { debianMirror } from './mirror';

/** Name of the lock that whoever uses the roots below a folder holds. */
export const lockOfRoots = (dir: string): string =>
  `matrix-${createHash('sha256').update(dir).digest('hex').slice(0, 16)}`;

/** Runs a step in namespaces; rejects when it does not end with 0. */
export type RunStep = (title: string, start: (log: string) => Entered) => Promise<void>;

/**
 * Where node and npm of a root of the machine's own files lie, and critest of every root; first in
 * PATH.
 */
export const ownPrograms = '/opt/matrix/bin';

const machinePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const certificates = '/etc/ssl/certs/ca-certificates.crt';

/** The environment inside a root. With the machine's network also how it reaches the internet. */
export function environment(network: 'own' | 'machine'): Record<string, string> {
  const env: Record<string, string> = {
    HOME: '/root',
    LANG: 'C.UTF-8',
    TERM: 'dumb',
    CI: 'true',
    PATH: `${ownPrograms}:${machinePath}`,
  };
  if (network === 'own') return env;
  // npm would otherwise not know what the machine's administrator trusts, and the registry of this
  // user's configuration.
  env.NODE_EXTRA_CA_CERTS = certificates;
  env.npm_config_registry = execFileSync('npm', ['config', 'get', 'registry'], {
    encoding: 'utf8',
  }).trim();
  for (const [name, value] of Object.entries(process.env)) {
    if (/^(https?_proxy|no_proxy|npm_config_(registry|proxy|https_proxy|noproxy))$/i.test(name)) {
      env[name] = value ?? '';
    }
  }
  return env;
}

/** In a Debian root besides the programs of the real stack. */
const debianTools = [
  ...['ca-certificates', 'nodejs', 'npm', 'make', 'g++', 'python3'],
  ...['procps', 'kmod', 'util-linux', 'git'],
];

export interface DebianRoot {
  /** Folder of the root. */
  readonly root: string;
  readonly suite: string;
  /** Default: that of apt's configuration. */
  readonly mirror?: string;
  /** Packages of the real stack. */
  readonly packages: readonly string[];
  /** What builds and tests the workspace there. Default: Node.js, a compiler and the like. */
  readonly tools?: readonly string[];
}

const stampOf = (root: string): string => `${root}.complete`;

/**
 * Makes a root with a suite of Debian in it, unless one is there that was completed with the same
 * packages.
 */
export async function makeDebianRoot(
  { root, suite, mirror, packages, tools = debianTools }: DebianRoot,
  step: RunStep,
): Promise<void> {
  const wanted = [...tools, ...packages].sort();
  const stamp = `${suite}: ${wanted.join(' ')}\n`;
  if (existsSync(stampOf(root)) && readFileSync(stampOf(root), 'utf8') === stamp) return;
  rmSync(stampOf(root), { force: true });
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  const env = { ...environment('machine'), DEBIAN_FRONTEND: 'noninteractive' };
  // debootstrap has one script for all later suites, also for those that it does not know yet.
  const debootstrap = [
    'debootstrap',
    '--variant=minbase',
    '--keyring=/usr/share/keyrings/debian-archive-keyring.gpg',
    ...[suite, root, mirror ?? mirrorOfMachine(), '/usr/share/debootstrap/scripts/sid'],
  ];
  await step(`debootstrap ${suite}`, (log) => runContained(debootstrap, { env, log }));
  const write = (file: string, text: string, mode = 0o644): void =>
    writeFileSync(path.join(root, file), text, { mode });
  // Nothing is started at installation.
  write('usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', 0o755);
  write('etc/dpkg/dpkg.cfg.d/matrix', 'force-unsafe-io\n');
  write(
    'etc/apt/apt.conf.d/90matrix',
    'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\nDpkg::Use-Pty "0";\n',
  );
  takeNetworkSettings(root);
  const apt = ['apt-get', '-qq', '-o', 'Acquire::Retries=3'];
  for (const [title, args] of [
    ['apt-get update', ['update']],
    ['apt-get install', ['install', '-y', ...wanted]],
    ['apt-get clean', ['clean']],
  ] as const) {
    await step(title, (log) => enter(root, [...apt, ...args], { network: 'machine', env, log }));
  }
  writeFileSync(stampOf(root), stamp);
}

/** @throws when apt has no source of Debian. */
function mirrorOfMachine(): string {
  const files = ['/etc/apt/sources.list', ...filesOf('/etc/apt/sources.list.d')]
    .filter(existsSync)
    .map((name) => ({ name, text: readFileSync(name, 'utf8') }));
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const mirror = debianMirror(files, codename ?? '');
  if (mirror === undefined) {
    throw new Error(
      "apt's sources name no mirror of Debian (a URI that ends with /debian): name one with --mirror URI",
    );
  }
  return mirror;
}

/**
 * Names of hosts, how apt fetches (proxies and the like) and additional certificates, as the
 * machine has them now.
 */
function takeNetworkSettings(root: string): void {
  for (const file of ['/etc/resolv.conf', '/etc/hosts']) {
    if (existsSync(file)) writeFileSync(path.join(root, file), readFileSync(file));
  }
  for (const file of filesOf('/etc/apt/apt.conf.d')) {
    const text = readFileSync(file, 'utf8');
    if (/^\s*Acquire\b/im.test(text)) writeFileSync(path.join(root, file), text);
  }
  const own = '/usr/local/share/ca-certificates';
  if (existsSync(own)) cpSync(own, path.join(root, own), { recursive: true, dereference: true });
}

const filesOf = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder).map((name) => path.join(folder, name)) : [];

/**
 * Makes a root of the machine's own programs, bound read-only, with state and temporary files of
 * its own, and with this program of Node.js in the place of the machine's. What it returns is to be
 * bound.
 */
export function makeMachineRoot(root: string, nodeProgram: string): Bind[] {
  // Those that the programs expect, or make and leave: apt, and helpers of packages.
  const own = ['root', 'var/lib/systemd', 'var/log/apt', 'var/tmp', 'opt/matrix/bin'];
  for (const folder of ['etc', 'usr', ...own]) {
    mkdirSync(path.join(root, folder), { recursive: true });
  }
  // dpkg's books: which packages there are in the others.
  const binds = ['/usr', '/etc', '/var/lib/dpkg']
    .filter(existsSync)
    .map((folder) => ({ from: folder, to: folder }));
  for (const folder of ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']) {
    const there = path.join(root, folder);
    if (!existsSync(folder) || lstatSync(there, { throwIfNoEntry: false }) !== undefined) continue;
    if (lstatSync(folder).isSymbolicLink()) symlinkSync(readlinkSync(folder), there);
    else binds.push({ from: folder, to: folder });
  }
  placeProgram(root, 'node', nodeProgram);
  const npm = findInPath('npm');
  if (!npm.startsWith('/usr/')) {
    // One that was installed for a user, with a Node.js of his: npm is a folder that runs anywhere.
    const folder = path.join(root, 'opt/matrix/npm');
    cpSync(path.resolve(npm, '../..'), folder, { recursive: true });
    rmSync(path.join(root, ownPrograms, 'npm'), { force: true });
    symlinkSync('../npm/bin/npm-cli.js', path.join(root, ownPrograms, 'npm'));
  }
  return binds;
}

function findInPath(name: string): string {
  const file = (process.env.PATH ?? '')
    .split(':')
    .map((folder) => path.join(folder, name))
    .find(existsSync);
  if (file === undefined) throw new Error(`${name} is not on PATH`);
  return realpathSync(file);
}

/** Copies a program into the folder that comes first in the root's PATH. */
export function placeProgram(root: string, name: string, file: string): void {
  mkdirSync(path.join(root, ownPrograms), { recursive: true });
  cpSync(file, path.join(root, ownPrograms, name), { dereference: true });
}
