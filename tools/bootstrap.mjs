// Installs what the workspace needs on a fresh machine. Plain JavaScript: it runs before npm packages exist.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import path from 'node:path';

/** Absolute path of the workspace. */
export const root = path.resolve(import.meta.dirname, '..');

/** Minimum Node.js version, as in package.json `engines`. */
const minimumNode = [20, 19];

/**
 * Programs of the real stack and the Debian/Ubuntu packages that hold them. `find` is a program name looked
 * up in PATH (with the sbin folders) or an absolute path.
 */
export const systemPrograms = [
  { find: 'containerd', packages: ['containerd'] },
  { find: 'runc', packages: ['runc'] },
  { find: '/usr/lib/cni/bridge', packages: ['containernetworking-plugins'] },
  { find: 'nats-server', packages: ['nats-server'] },
  { find: 'docker-registry', packages: ['docker-registry'] },
  { find: 'skopeo', packages: ['skopeo'] },
  { find: 'umoci', packages: ['umoci'] },
  { find: '/bin/busybox', packages: ['busybox-static'] },
  { find: 'htpasswd', packages: ['apache2-utils'] },
  { find: 'iptables', packages: ['iptables'] },
  { find: 'mkfs.ext4', packages: ['e2fsprogs'] },
  { find: 'mount', packages: ['mount'] },
  { find: 'ip', packages: ['iproute2'] },
];

const buildPrograms = [
  { find: 'make', packages: ['make'] },
  { find: 'g++', packages: ['g++'] },
  { find: 'python3', packages: ['python3'] },
];

/** Where programs are looked for: PATH plus the sbin folders that a plain user's PATH may lack. */
export const searchPath = [
  ...new Set([...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/local/sbin']),
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

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  return result.status === 0;
}

/** Ends the process with a clear line when Node.js is too old. */
export function ensureNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < minimumNode[0] || (major === minimumNode[0] && minor < minimumNode[1])) {
    fail(`Node.js ${minimumNode.join('.')} or later is needed, this is ${process.versions.node}`);
  }
}

/** Installs the npm packages of package-lock.json when node_modules is absent or of another lock file. */
export function ensurePackages() {
  ensureNode();
  const lock = createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = path.join(root, 'node_modules', '.stowage-lock');
  const wanted = `${lock} node-abi-${process.versions.modules}`;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  ensurePrograms(buildPrograms, 'to compile the SQLite binding');
  say('Installing npm packages (npm ci), about two minutes on a small machine ...');
  if (!run('npm', ['ci', '--no-audit', '--no-fund'])) fail('npm ci failed: see its output above');
  writeFileSync(stamp, wanted);
}

/**
 * Installs missing Debian packages with apt-get (as root, or through sudo). Where that is not possible it ends
 * the process and names what is missing and how to get it.
 */
export function ensurePrograms(list = systemPrograms, why = 'for the real stack') {
  const missing = missingPrograms(list);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.flatMap((program) => program.packages))];
  const names = missing.map(({ find }) => find).join(', ');
  const isRoot = process.getuid?.() === 0;
  const manual = `apt-get update && apt-get install --no-install-recommends ${packages.join(' ')}`;
  if (!isPresent('apt-get')) {
    fail(`Missing ${why}: ${names}. This is not a Debian or Ubuntu machine: install them by hand.`);
  }
  if (!isRoot && !isPresent('sudo')) fail(`Missing ${why}: ${names}. As root: ${manual}`);
  say(`Installing Debian packages ${why}: ${packages.join(' ')}`);
  const elevate = (args) => (isRoot ? args : ['sudo', ...args]);
  const apt = (args) => {
    const [command, ...rest] = elevate([
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-qq',
      ...args,
    ]);
    return run(command, rest, { stdio: ['ignore', 'ignore', 2] });
  };
  if (!apt(['update']) || !apt(['install', '-y', '--no-install-recommends', ...packages])) {
    fail(`apt-get failed. By hand, as root: ${manual}`);
  }
  const still = missingPrograms(list);
  if (still.length > 0) {
    fail(
      `Still missing after installing ${packages.join(' ')}: ${still.map(({ find }) => find).join(', ')}`,
    );
  }
}
