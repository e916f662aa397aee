import { randomBytes } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { identify, isAlive, type ProcessIdentity } from './processes';

/**
 * What must be known to remove a stack without the process that made it. Written before anything
 * else of the stack exists, and never changed: processes are found by their marker, mounts and loop
 * devices by the folder.
 */
export interface StackManifest {
  /** Eight hexadecimal digits. */
  id: string;
  /** Folder of the stack, inside the folder of all stacks. */
  dir: string;
  /** Value of the owner marker in the environment of the stack's processes. */
  ownerToken: string;
  owner: ProcessIdentity;
  bootId: string;
  /** The owner's number means nothing in another pid namespace. */
  pidNamespace: string;
  /** containerd's socket; shims name it in their command line. */
  containerdSocket: string;
  containerdStateDir: string;
  /** Name of the CNI network, which port-mapping rules and cached results carry. */
  network: string;
  bridge: string;
  /** Subnet of the bridge in CIDR notation; empty when the stack has no network. */
  subnet: string;
  /** Loopback ports given to the stack's servers. */
  ports: number[];
  /** Folders that were absent before; they are removed again when empty and no stack is left. */
  sharedDirs: string[];
}

/**
 * Folder below a stack's own that holds a folder for each container that CRI-O has, also for one
 * that has ended.
 */
export const crioContainersDir = 'crio-run/overlay-containers';

/**
 * Folders below a stack's own for dockerd: its data, and the state of it, its containerd and its
 * containers.
 */
export const dockerDirs = (dir: string): { root: string; execRoot: string } => ({
  root: path.join(dir, 'docker'),
  execRoot: path.join(dir, 'docker-exec'),
});

/** Socket and state folder of the containerd that dockerd starts. */
export const dockerContainerd = (dir: string): { socket: string; stateDir: string } => {
  const { execRoot } = dockerDirs(dir);
  return {
    socket: path.join(execRoot, 'containerd', 'containerd.sock'),
    stateDir: path.join(execRoot, 'containerd', 'daemon'),
  };
};

/**
 * Control groups of a container of containerd or CRI-O, below each hierarchy, where its sandbox
 * asks for no other place.
 */
export const controlGroupsOf = (containerId: string): string[] =>
  ['k8s.io/', 'crio/crio-', 'crio/crio-conmon-'].map((name) => name + containerId);

const manifestFile = 'manifest.json';

/**
 * The folder of this user's stacks. Short, because unix socket paths end at 107 bytes; fixed, so
 * that the stacks of a crashed process are found; private, because what its manifests name gets
 * deleted.
 */
export const stacksDir = `/tmp/stowage-testing-${process.getuid?.() ?? 0}`;

/**
 * Whether the folder of stacks is there. Throws when it is not this user's own: its content gets
 * deleted.
 */
function hasStacksDir(): boolean {
  const stats = lstatSync(stacksDir, { throwIfNoEntry: false });
  if (stats === undefined) return false;
  if (!stats.isDirectory() || stats.uid !== process.getuid?.() || (stats.mode & 0o077) !== 0) {
    throw new Error(`${stacksDir} is not a folder that only this user can write to: remove it`);
  }
  return true;
}

/** Identity of this boot and of this pid namespace. */
export function hostIdentity(): { bootId: string; pidNamespace: string } {
  return {
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
  };
}

/** Identity of this process, as the owner of stacks. */
export function selfIdentity(): ProcessIdentity {
  const self = identify(process.pid);
  if (self === undefined) throw new Error('/proc is not mounted');
  return self;
}

/** Owner token: readable as a process identity, unique for each keeper of one process. */
export function newOwnerToken(): string {
  const { pid, startTime } = selfIdentity();
  const namespace = hostIdentity().pidNamespace.replace(/\D/g, '');
  return [pid, startTime, namespace, randomBytes(4).toString('hex')].join('-');
}

/**
 * Whether the process that an owner token names is alive. If that is unknown it counts as alive.
 */
export function isOwnerAlive(token: string): boolean {
  const [pid, startTime, namespace] = token.split('-');
  if (pid === undefined || startTime === undefined || namespace === undefined) return true;
  if (namespace !== hostIdentity().pidNamespace.replace(/\D/g, '')) return true;
  return isAlive({ pid: Number(pid), startTime });
}

/** Makes the stack's folder with its manifest in one step. Call it under the lock `stacks`. */
export function writeManifest(manifest: StackManifest): void {
  if (!hasStacksDir()) mkdirSync(stacksDir, { mode: 0o700 });
  const staging = path.join(stacksDir, `.new-${manifest.id}`);
  mkdirSync(staging, { mode: 0o700 });
  writeFileSync(path.join(staging, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`);
  renameSync(staging, manifest.dir);
}

/**
 * Removes the stack's folder with all that is in it; mounts must be gone. Call it under the lock
 * `stacks`.
 */
export function removeStackDir({ id, dir }: StackManifest): void {
  const doomed = path.join(stacksDir, `.old-${id}`);
  renameSync(dir, doomed);
  rmSync(doomed, { recursive: true, force: true });
}

/** Manifests of all stacks of this user that are still there. Call it under the lock `stacks`. */
export function readManifests(): StackManifest[] {
  if (!hasStacksDir()) return [];
  const manifests: StackManifest[] = [];
  for (const name of readdirSync(stacksDir)) {
    const dir = path.join(stacksDir, name);
    if (name.startsWith('.')) {
      rmSync(dir, { recursive: true, force: true }); // its creator or remover died half way
      continue;
    }
    const file = path.join(dir, manifestFile);
    if (!existsSync(file)) continue;
    manifests.push({ ...(JSON.parse(readFileSync(file, 'utf8')) as StackManifest), dir });
  }
  return manifests;
}

/** Whether the process that started the stack is gone, as far as this process knows. */
export function isAbandoned({ owner, bootId, pidNamespace }: StackManifest): boolean {
  const host = hostIdentity();
  if (bootId !== host.bootId) return true;
  return pidNamespace === host.pidNamespace && !isAlive(owner);
}
