import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { crioContainersDir } from '@stowage/testing';

/** A folder or file of the machine that is seen in the root too, read-only. */
export interface Bind {
  readonly from: string;
  /** Absolute, as seen from inside. */
  readonly to: string;
}

export interface EnterOptions {
  /**
   * `own`: a network namespace with a loopback device alone. `machine`: the machine's, to fetch
   * packages.
   */
  readonly network: 'own' | 'machine';
  /** Folder in the root. Default `/`. */
  readonly folder?: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly binds?: readonly Bind[];
  /** File that output is appended to. Default: this process's own output. */
  readonly log?: string;
}

/** A command that runs in namespaces of its own. */
export interface Entered {
  /**
   * Its exit code; not 0 where a signal ended it. All that it started has ended by then. Rejects
   * when it cannot be started.
   */
  readonly ended: Promise<number>;
  /** Asks it to end (SIGTERM), and ends it after `graceMs` with everything that it started. */
  stop(options?: { graceMs?: number }): Promise<void>;
}

/** How long a command that was asked to end may clean up. */
const defaultGraceMs = 60_000;

/**
 * The first process of a pid namespace: what it starts ends with it, whatever that is. It waits for
 * what it was asked to run, and up to 30 seconds for what that left to clean up after it. It reaps
 * what nobody else waits for.
 */
const runAsFirst = `
trap : TERM INT
"$@" &
child=$!
wait "$child"; code=$?
while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
tries=0
while set -- /proc/[0-9]*; [ $# -gt 1 ] && [ $tries -lt 60 ]; do sleep 0.5; tries=$((tries + 1)); done
[ $# -le 1 ] || echo "still running, ended now: $*" >&2
exit "$code"
`;

/**
 * Arguments: root folder, network, folder inside, pairs of binds up to `--`, command. All mounts
 * are made in the mount namespace, and nothing of the machine's files stays visible but what is
 * bound: below a chroot a container's exec would run in them. Busybox has the program for it on
 * every suite, util-linux only on some.
 */
const enterScript = `
set -eu
root=$1 network=$2 folder=$3; shift 3
mount --bind "$root" "$root"
cd "$root"
mkdir -p proc sys dev run tmp .machine
chmod 1777 tmp
while [ "$1" != -- ]; do
  mount --bind "$1" ".$2"
  mount -o remount,bind,ro ".$2"
  shift 2
done
shift
mount -t proc proc proc
if [ "$network" = machine ]; then
  mount --rbind /sys sys
else
  mount -t sysfs sysfs sys # shows the links of the network namespace it is mounted in
  mount --rbind /sys/fs/cgroup sys/fs/cgroup
fi
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir run/lock
[ "$network" = machine ] || ip link set lo up
busybox pivot_root . .machine
cd /
umount -l /.machine
rmdir /.machine
mount --make-rshared /
cd "$folder"
set +eu
${runAsFirst}`;

/**
 * Runs a command with `root` as its file system, in mount, pid and (unless it is the machine's)
 * network namespaces of its own. Nothing is mounted in the machine's own mount namespace. The
 * kernel ends all of it with this process, also at SIGKILL. Needs root.
 */
export function enter(
  root: string,
  command: readonly string[],
  { network, folder = '/', env, binds = [], log }: EnterOptions,
): Entered {
  for (const { from, to } of binds) makeMountPoint(from, path.join(root, to));
  return contain(
    [
      ...(network === 'own' ? ['--net'] : []),
      ...['--', 'sh', '-c', enterScript, 'enter', root, network, folder],
      ...binds.flatMap(({ from, to }) => [from, to]),
      ...['--', ...command],
    ],
    env,
    log,
  );
}

/**
 * Runs a command in the machine's files, in mount and pid namespaces of its own: what it mounts and
 * starts goes with it.
 */
export function runContained(
  command: readonly string[],
  { env, log }: Pick<EnterOptions, 'env' | 'log'>,
): Entered {
  return contain(['--mount-proc', '--', 'sh', '-c', runAsFirst, 'run', ...command], env, log);
}

function contain(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  log: string | undefined,
): Entered {
  const output = log === undefined ? 'inherit' : openSync(log, 'a');
  const namespaces = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...namespaces, ...args], {
    detached: true, // Ctrl+C in a terminal is for this process, which then stops the command
    env,
    stdio: ['ignore', output, output],
  });
  if (typeof output === 'number') closeSync(output);
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
  return { ended, stop: (options) => stop(child, ended, options) };
}

async function stop(
  child: ChildProcess,
  ended: Promise<number>,
  { graceMs = defaultGraceMs }: { graceMs?: number } = {},
): Promise<void> {
  const { pid } = child;
  if (pid === undefined || child.exitCode != null || child.signalCode != null) return;
  process.kill(-pid, 'SIGTERM');
  const kill = setTimeout(() => {
    // The first process of the namespace, for which unshare waits: it is gone when all others are.
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    process.kill(Number(first) || pid, 'SIGKILL');
  }, graceMs);
  await ended;
  clearTimeout(kill);
}

function makeMountPoint(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(path.dirname(to), { recursive: true });
  if (statSync(from).isDirectory()) mkdirSync(to);
  else closeSync(openSync(to, 'a'));
}

/**
 * Removes what a run that was killed has left outside its namespaces, which are gone with it:
 * control groups of containers, and temporary files. Call it when nothing runs in the root.
 */
export function removeLeftovers(root: string): void {
  const temporary = path.join(root, 'tmp');
  for (const name of list(temporary)) {
    if (name.startsWith('stowage-testing-')) {
      for (const stack of list(path.join(temporary, name))) {
        removeControlGroups(path.join(temporary, name, stack, 'state'));
        removeCrioGroups(path.join(temporary, name, stack, crioContainersDir));
      }
    }
    rmSync(path.join(temporary, name), { recursive: true, force: true });
  }
}

/** Of all containers and sandboxes that a containerd with this state folder has had. */
function removeControlGroups(state: string): void {
  const ids = [
    ...list(path.join(state, 'io.containerd.runtime.v2.task', 'k8s.io')),
    ...list(path.join(state, 'io.containerd.grpc.v1.cri', 'sandboxes')),
  ];
  for (const hierarchy of controlGroupHierarchies()) {
    const parent = path.join(hierarchy, 'k8s.io');
    for (const id of ids) removeGroupTree(path.join(parent, id));
    if (ids.length > 0) removeGroup(parent);
  }
}

/**
 * Of all containers and sandboxes that a CRI-O with this folder has had, and of what watched them.
 */
function removeCrioGroups(containers: string): void {
  const ids = list(containers);
  for (const hierarchy of controlGroupHierarchies()) {
    const parent = path.join(hierarchy, 'crio');
    for (const id of ids) {
      removeGroupTree(path.join(parent, `crio-${id}`));
      removeGroupTree(path.join(parent, `crio-conmon-${id}`));
    }
    if (ids.length > 0) removeGroup(parent);
  }
}

/**
 * Where the hierarchies of control groups are mounted: one of version 2, one a controller of
 * version 1.
 */
export const controlGroupHierarchies = (): string[] => [
  ...new Set(
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => / - cgroup2? /.test(line))
      .map((line) => line.split(' ')[4] ?? ''),
  ),
];

/**
 * Removes a control group of this name, with those below it, from every hierarchy, as far as no
 * process is in it.
 */
export function removeControlGroup(name: string): void {
  for (const hierarchy of controlGroupHierarchies()) removeGroupTree(path.join(hierarchy, name));
}

/** Removes a control group with those below it. */
function removeGroupTree(group: string): void {
  if (!existsSync(group)) return;
  for (const entry of readdirSync(group, { withFileTypes: true })) {
    if (entry.isDirectory()) removeGroupTree(path.join(group, entry.name));
  }
  removeGroup(group);
}

/**
 * As far as it holds neither processes nor other groups: then it is not of these containers alone.
 */
function removeGroup(group: string): void {
  try {
    rmdirSync(group);
  } catch {
    // Not there, or in use.
  }
}

const list = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);
