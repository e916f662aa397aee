import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '../eventually';
import { detachLoopDevices, unmountUnder } from '../filesystem';
import { removeEngineLinks, removeLink, removePortRules } from '../network';
import { withLock } from './lock';
import {
  controlGroupsOf,
  crioContainersDir,
  dockerContainerd,
  dockerDirs,
  hostIdentity,
  isAbandoned,
  isOwnerAlive,
  readManifests,
  removeStackDir,
  stacksDir,
  type StackManifest,
} from './manifest';
import {
  findByArgument,
  findInCgroups,
  findMarked,
  killProcesses,
  ownerMarker,
  stackMarker,
} from './processes';

/** Something of a stack could not be removed. `problems` has one sentence each. */
export class SweepError extends Error {
  override readonly name = 'SweepError';
  constructor(readonly problems: readonly string[]) {
    super(`not everything of the test stack could be removed: ${problems.join('; ')}`);
  }
}

/**
 * Where the library of images that CRI-O has remembers digests of layers. There is no option for
 * another folder.
 */
const imageLibraryCache = '/var/lib/containers/cache';

/**
 * Folders outside a stack's own that runtimes, their shims and the CNI library write to, deepest
 * first.
 */
export const sharedDirCandidates = [
  imageLibraryCache,
  '/var/lib/containers',
  '/run/containerd/s',
  '/run/containerd/fifo',
  '/run/containerd/runc/k8s.io',
  '/run/containerd/runc/default',
  '/run/containerd/runc',
  '/run/containerd',
  '/run/crun',
  '/run/docker',
  '/run/netns',
  '/run/nri',
  '/var/lib/cni/results',
  '/var/lib/cni/networks',
  '/var/lib/cni',
  '/opt/containerd',
];

/**
 * Removes everything of a stack: processes, mounts, loop devices, bridge, port rules, control
 * groups, sockets and the folder. It relies on nothing but the manifest, may run twice or in two
 * processes at once, and is the only way a stack ends, so that a crash is cleaned up by what every
 * test run exercises.
 *
 * @throws {SweepError} naming what is left.
 */
export async function sweepStack(stack: StackManifest): Promise<void> {
  await withLock(`sweep-${stack.id}`, async () => {
    if (!existsSync(stack.dir)) return;
    const problems: string[] = [];
    const attempt = async (action: () => void | Promise<void>): Promise<void> => {
      try {
        await action();
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error));
      }
    };
    const hasNetwork = stack.subnet !== '';
    const sameBoot = stack.bootId === hostIdentity().bootId;
    const { socket, stateDir } = dockerContainerd(stack.dir);
    const bundles = [
      ...findBundles(stack.containerdSocket, stack.containerdStateDir),
      ...findBundles(socket, stateDir),
    ];
    const containerIds = [
      ...new Set([
        ...bundles.map(({ id }) => id),
        ...findCriIds(stack),
        ...listDir(path.join(stack.dir, crioContainersDir)),
        ...listDir(path.join(dockerDirs(stack.dir).root, 'containers')),
      ]),
    ];
    const shimSockets = findShimSockets(bundles);
    if (sameBoot) {
      const survivors = await killProcesses(() => [
        ...findMarked(stackMarker, (value) => value === stack.id),
        ...findByArgument(stack.containerdSocket),
        ...findByArgument(socket),
        ...findInCgroups(containerIds),
      ]);
      if (survivors.length > 0) {
        problems.push(`processes ${survivors.map(({ pid }) => pid).join(', ')} do not end`);
      }
      await attempt(() => removeCgroups([...containerIds.flatMap(controlGroupsOf), stack.network]));
      if (hasNetwork) {
        await attempt(() => removeLink(stack.bridge));
        await attempt(() => removeEngineLinks(stack.subnet));
      }
    }
    for (const file of shimSockets) rmSync(file, { force: true });
    for (const { namespace, id } of bundles) {
      rmSync(path.join('/run/containerd/runc', namespace, id), { recursive: true, force: true });
    }
    await attempt(() => removeCachedResults(containerIds));
    await attempt(() => unmountUnder(stack.dir));
    await attempt(() => detachLoopDevices(stack.dir));
    await withLock('stacks', async () => {
      const isLast = readManifests().every(({ id }) => id === stack.id);
      if (hasNetwork) {
        await attempt(() => removePortRules(stack.network, { alsoShared: isLast }));
      }
      if (isLast) {
        // Only root can have made it, and so only a stack with a runtime.
        if (hasNetwork && stack.sharedDirs.includes(imageLibraryCache)) {
          rmSync(imageLibraryCache, { recursive: true, force: true });
        }
        removeEmptyDirs(stack.sharedDirs);
        for (const parent of groupParents) {
          removeEmptyDirs(cgroupMounts().map((mount) => path.join(mount, parent)));
        }
      }
      // The folder goes last and only when nothing else is left: with it goes what a later sweep
      // needs.
      if (problems.length === 0) await attempt(() => removeStackDir(stack));
      if (isLast) removeEmptyDirs([stacksDir]);
    });
    if (problems.length > 0) throw new SweepError(problems);
  });
}

/** Removes the stacks and processes whose owner has died, of any test run of this user. */
export async function sweepAbandoned(): Promise<void> {
  const abandoned = await withLock('stacks', () =>
    Promise.resolve(readManifests().filter(isAbandoned)),
  );
  for (const stack of abandoned) await sweepStack(stack);
  await killProcesses(() => findMarked(ownerMarker, (token) => !isOwnerAlive(token)));
}

/** Removes the stacks and processes of one owner, which has ended. */
export async function sweepOwner(token: string): Promise<void> {
  const left = await withLock('stacks', () =>
    Promise.resolve(readManifests().filter(({ ownerToken }) => ownerToken === token)),
  );
  for (const stack of left) await sweepStack(stack);
  await killProcesses(() => findMarked(ownerMarker, (value) => value === token));
}

interface Bundle {
  containerdSocket: string;
  namespace: string;
  id: string;
  dir: string;
}

/**
 * Containers of a containerd of the stack: each has a bundle folder, also when its shim has died.
 */
function findBundles(containerdSocket: string, stateDir: string): Bundle[] {
  const tasks = path.join(stateDir, 'io.containerd.runtime.v2.task');
  return listDir(tasks).flatMap((namespace) =>
    listDir(path.join(tasks, namespace)).map((id) => ({
      containerdSocket,
      namespace,
      id,
      dir: path.join(tasks, namespace, id),
    })),
  );
}

/** Sandboxes that the CRI plugin knows, also those that no task runs for. */
function findCriIds({ containerdStateDir }: StackManifest): string[] {
  return listDir(path.join(containerdStateDir, 'io.containerd.grpc.v1.cri', 'sandboxes'));
}

/**
 * Sockets of the shims. They lie in one folder of the machine, named by a hash of address and id.
 */
function findShimSockets(bundles: readonly Bundle[]): string[] {
  return bundles.flatMap(({ containerdSocket, namespace, id, dir }) => {
    const hashed = createHash('sha256')
      .update(path.join(containerdSocket, namespace, id))
      .digest('hex');
    const named = ['address', 'bootstrap.json'].flatMap((file) => {
      const text = existsSync(path.join(dir, file))
        ? readFileSync(path.join(dir, file), 'utf8')
        : '';
      return [...text.matchAll(/unix:\/\/(\/run\/containerd\/s\/[0-9a-f]{64})/g)].map(
        (match) => match[1] ?? '',
      );
    });
    return [`/run/containerd/s/${hashed}`, ...named];
  });
}

/**
 * Mount points of the control group hierarchies: one on version 2, one a controller on version 1.
 */
function cgroupMounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '');
}

/**
 * Below these, containerd has its groups, and CRI-O has them where a sandbox asks for no other
 * place.
 */
const groupParents = ['k8s.io', 'crio'];

/** Removes control groups, named below each hierarchy, with those below them. */
async function removeCgroups(names: readonly string[]): Promise<void> {
  const groups = cgroupMounts().flatMap((mount) => names.map((group) => path.join(mount, group)));
  await eventually(() => groups.map(removeGroupTree).every(Boolean), {
    what: 'the control groups of the containers to become empty',
    timeoutMs: 30_000,
  });
}

/**
 * Removes a control group with those below it; false while the kernel still counts a process in
 * one.
 */
function removeGroupTree(dir: string): boolean {
  if (!existsSync(dir)) return true;
  const below = readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => removeGroupTree(path.join(dir, entry.name)));
  return below.every(Boolean) && removeEmptyDirs([dir]);
}

/**
 * libcni keeps the result of each attachment until the container is detached, which a killed one
 * never is.
 */
function removeCachedResults(sandboxIds: readonly string[]): void {
  const results = '/var/lib/cni/results';
  for (const name of listDir(results)) {
    if (sandboxIds.some((id) => name.includes(id))) {
      rmSync(path.join(results, name), { force: true });
    }
  }
}

/** Removes those folders that are empty. False when one is still there. */
function removeEmptyDirs(dirs: readonly string[]): boolean {
  return dirs
    .map((dir) => {
      try {
        rmdirSync(dir);
      } catch {
        // Not empty or not there.
      }
      return !existsSync(dir);
    })
    .every(Boolean);
}

const listDir = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : []);
