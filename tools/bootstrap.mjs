// Installs what the workspace needs on a fresh machine. Plain JavaScript: it runs before npm
// packages exist.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Absolute path of the workspace. */
export const root = path.resolve(import.meta.dirname, '..');

/** Minimum Node.js version, as in package.json `engines`. */
const minimumNode = [20, 19];

const readJson = (...parts) => JSON.parse(readFileSync(path.join(root, ...parts), 'utf8'));

/**
 * Programs of the real stack, and of its tests, and the Debian/Ubuntu packages that hold them;
 * libs/testing checks for the same ones. `find` is a program name looked up in PATH (with the sbin
 * folders) or an absolute path.
 */
export const testPrograms = Object.values(readJson('libs/testing/src/programs.json'));

/** Those that the demo and other programs beside the tests need, too. */
export const systemPrograms = testPrograms.filter(
  ({ isForTestsAlone = false }) => !isForTestsAlone,
);

/**
 * As in libs/sqlite: better-sqlite3 13 brings its binding prebuilt, 12 (for Node.js before 22.14)
 * compiles it.
 */
const hasNodeApi10 = Number(process.versions.napi) >= 10;
const sqlitePackage = hasNodeApi10 ? 'better-sqlite3-napi' : 'better-sqlite3';

/** What compiles the SQLite binding where no prebuilt one can be fetched. */
const buildPrograms = [
  { find: 'make', packages: ['make'] },
  { find: 'g++', packages: ['g++'] },
  { find: 'python3', packages: ['python3'] },
];

/**
 * Debian packages that start a service when they are installed. The suite's tests use none of these
 * services, so they are not started with the installation; the next boot of the machine would.
 */
const packagesWithService = [
  'containerd',
  'nats-server',
  'docker-registry',
  'docker.io',
  'prometheus',
];

/**
 * Runs a command while Debian's packages start no service that they bring, unless the machine has
 * a policy of its own about that. Shell, for root.
 */
const withoutServices = `policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' INT TERM
  printf '#!/bin/sh\\nexit 101\\n' >"$policy" && chmod 755 "$policy" || exit 1
fi
"$@"`;

/** Where programs are looked for: PATH plus the sbin folders that a plain user's PATH may lack. */
export const searchPath = [
  ...new Set([...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']),
].filter(Boolean);

const isPresent = (find) =>
  find.startsWith('/')
    ? existsSync(find)
    : searchPath.some((dir) => existsSync(path.join(dir, find)));

/** Programs of `list` that this machine lacks. */
export const missingPrograms = (list = systemPrograms) =>
  list.filter(({ find }) => !isPresent(find));

const say = (line) => process.stderr.write(`${line}\n`);

function fail(line) {
  say(line);
  process.exit(1);
}

/**
 * Runs a command with its output on stderr and nothing on its stdin. True when it ended with exit
 * code 0.
 */
function run([command, ...args]) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  return result.status === 0;
}

export const isRoot = process.getuid?.() === 0;

/**
 * The command line that runs a command as root: itself for root, else through sudo, which asks for
 * a password on the terminal if it has one. Undefined where there is no sudo.
 */
export function asRoot(commandLine) {
  if (isRoot) return commandLine;
  if (!isPresent('sudo')) return undefined;
  const interactive = process.env.CI === undefined && process.stderr.isTTY === true;
  return ['sudo', ...(interactive ? [] : ['-n']), '--preserve-env=PATH,TERM,CI', ...commandLine];
}

/**
 * Runs a TypeScript program as root in place of this process, until it has cleaned up after itself
 * and ended.
 * @param program path of the program in the workspace
 * @param needsRoot what to say where there is no way to become root
 */
export function becomeRootProgram(program, args, needsRoot) {
  const commandLine = asRoot([
    ...[process.execPath, '--import', 'tsx', path.join(root, program)],
    ...args,
  ]);
  if (commandLine === undefined) fail(needsRoot);
  const [command, ...rest] = commandLine;
  const child = spawn(command, rest, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') },
  });
  // Ctrl+C reaches the child by itself; a signal to this process alone is handed on.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  // npm hands a SIGTERM to its shell, which ends without this process.
  const parent = process.ppid;
  setInterval(() => {
    if (process.env.npm_lifecycle_event !== undefined && process.ppid !== parent) {
      child.kill('SIGTERM');
    }
  }, 1000).unref();
  child.on('exit', (code) => process.exit(code ?? 1));
}

/** Ends the process with a clear line when Node.js is too old. */
export function ensureNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < minimumNode[0] || (major === minimumNode[0] && minor < minimumNode[1])) {
    fail(
      `Node.js ${minimumNode.join('.')} or later is needed, this is ${process.versions.node}: ` +
        'see https://nodejs.org or https://github.com/nodesource/distributions',
    );
  }
}

/**
 * Installs the npm packages of package-lock.json unless they are all there, in these versions, with
 * a SQLite binding that this Node.js can load.
 */
export function ensurePackages() {
  ensureNode();
  const lock = createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = path.join(root, 'node_modules', '.stowage-lock');
  const wanted = `${lock} node-abi-${process.versions.modules} ${sqlitePackage}`;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  if (!areInstalled()) {
    say('Installing npm packages into node_modules (npm ci), some minutes on a small machine ...');
    if (!npmCi()) {
      const lacking = missingPrograms(buildPrograms);
      if (hasNodeApi10 || lacking.length === 0) fail('npm ci failed: see its output above');
      ensurePrograms(buildPrograms, 'to compile the SQLite binding, which could not be fetched');
      say('Installing npm packages again (npm ci) ...');
      if (!npmCi()) fail('npm ci failed: see its output above');
    }
  }
  if (!canLoadSqlite()) {
    if (hasNodeApi10) {
      fail(
        `${sqlitePackage} cannot be loaded: it comes for x64 and arm64, with glibc 2.34 or later or musl`,
      );
    }
    ensurePrograms(buildPrograms, 'to compile the SQLite binding');
    say(`Compiling the SQLite binding for Node.js ${process.versions.node}, about a minute ...`);
    if (!run(['npm', 'rebuild', 'better-sqlite3']) || !canLoadSqlite()) {
      fail('The SQLite binding (better-sqlite3) cannot be loaded: see the output above');
    }
  }
  writeFileSync(stamp, wanted);
}

/**
 * With Node-API 10 nothing is compiled: the install scripts run but for that of better-sqlite3 12.
 */
function npmCi() {
  const install = ['npm', 'ci', '--no-audit', '--no-fund', '--loglevel=error'];
  if (!hasNodeApi10) return run(install);
  const { allowScripts } = readJson('package.json');
  const others = Object.keys(allowScripts).filter(
    (name) => allowScripts[name] && name !== 'better-sqlite3',
  );
  return (
    run([...install, '--ignore-scripts']) && run(['npm', 'rebuild', '--loglevel=error', ...others])
  );
}

/**
 * Whether node_modules holds exactly what package-lock.json says, by the list that npm keeps there.
 */
function areInstalled() {
  if (!existsSync(path.join(root, 'node_modules', '.package-lock.json'))) return false;
  const { packages: wanted } = readJson('package-lock.json');
  const { packages: present } = readJson('node_modules', '.package-lock.json');
  return (
    Object.entries(wanted).every(
      ([name, { version, optional }]) =>
        name === '' || present[name]?.version === version || (optional && !present[name]),
    ) && Object.keys(present).every((name) => name in wanted)
  );
}

const canLoadSqlite = () =>
  spawnSync(process.execPath, ['-e', `new (require("${sqlitePackage}"))(":memory:")`], {
    cwd: root,
  }).status === 0;

/**
 * Installs missing Debian packages with apt-get (as root, or through sudo), saying so first. Where
 * that is not possible it ends the process and names what is missing and how to get it.
 */
export function ensurePrograms(list = systemPrograms, why = 'for the real stack') {
  const missing = missingPrograms(list);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.flatMap((program) => program.packages))];
  const names = missing.map(({ find }) => find).join(', ');
  const manual = `apt-get update && apt-get install --no-install-recommends ${packages.join(' ')}`;
  if (!isPresent('apt-get')) {
    fail(`Missing ${why}: ${names}. This is not a Debian or Ubuntu machine: install them by hand.`);
  }
  const apt = (...args) =>
    asRoot([
      ...['sh', '-c', withoutServices, 'sh'],
      ...['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args],
    ]);
  if (apt() === undefined) fail(`Missing ${why}: ${names}. As root: ${manual}`);
  say(`Installing Debian packages ${why}: ${packages.join(' ')}`);
  // An update that fails for one of many sources is no obstacle if the packages can be had.
  run(apt('-qq', 'update'));
  const options = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Dpkg::Use-Pty=0'];
  if (!run(apt('-qq', 'install', '-y', '--no-install-recommends', ...options, ...packages))) {
    fail(`apt-get could not install ${packages.join(' ')}. By hand, as root: ${manual}`);
  }
  const still = missingPrograms(list);
  if (still.length > 0) {
    fail(
      `Still missing after installing ${packages.join(' ')}: ${still.map(({ find }) => find).join(', ')}`,
    );
  }
  const services = packages.filter((name) => packagesWithService.includes(name));
  if (services.length > 0 && existsSync('/run/systemd/system')) {
    say(
      `These packages bring services, which Stowage's tests and demo do not use. They were not started, ` +
        `but the next boot does; to keep it from that: systemctl disable ${services.join(' ')}`,
    );
  }
}

/**
 * Builds the apps into dist/apps; what is up to date is not built again. Ends the process when that
 * fails.
 */
export function buildApps() {
  say('Building the services ...');
  const nx = path.join(root, 'node_modules', '.bin', 'nx');
  const build = spawnSync(
    process.execPath,
    [nx, 'run-many', '-t', 'build', '--outputStyle=static'],
    {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false' },
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  if (build.status !== 0) fail(`${build.stdout}${build.stderr}\nThe build failed: see above`);
}
