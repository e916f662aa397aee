import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { podNamespace } from './net-namespace';

const run = promisify(execFile);

const classFolder = '/sys/class/net';
const sysctlFolder = '/proc/sys/net/bridge';
const limitMs = 10_000;

/** Prints number and peer of the pod's interface, as its own namespace sees them. */
const script =
  'mount -t sysfs sysfs /sys && cat /sys/class/net/eth0/ifindex /sys/class/net/eth0/iflink';

/**
 * Lets the host's bridge send packets back to the pod that they came from, so that a pod reaches
 * itself through a service: sets `hairpin_mode` at the host's end of its `eth0`.
 *
 * @param pid a process of the pod.
 * @throws {FailedPreconditionError} when the pod has no such interface, or it is on no bridge.
 *   @throws the reason of the signal.
 */
export async function setHairpin(pid: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const netns = await podNamespace(pid);
  if (netns === undefined) throw failed(pid, 'the process has no network namespace of its own');
  // /sys shows the namespace of who has mounted it, so it is mounted anew, for this question alone.
  const { stdout } = await run(
    'nsenter',
    [`--net=${netns}`, '--', 'unshare', '--mount', '--', 'sh', '-c', script],
    { signal, timeout: limitMs },
  ).catch((error: unknown) => {
    signal.throwIfAborted();
    throw failed(pid, `its eth0 cannot be looked at: ${errorMessage(error)}`, error);
  });
  const [index = '', peer = ''] = stdout.split('\n');
  const name = await interfaceOf(peer, index);
  if (name === undefined) throw failed(pid, 'its eth0 has no other end on the host');
  const file = path.join(classFolder, name, 'brport', 'hairpin_mode');
  await writeFile(file, '1', { flag: 'r+' }).catch((error: unknown) => {
    throw failed(pid, `${name} is on no bridge`, error);
  });
}

/** The host's interface of a number, whose other end has that number where it is. */
async function interfaceOf(index: string, peer: string): Promise<string | undefined> {
  const numberAt = async (name: string, file: string) =>
    (await readFile(path.join(classFolder, name, file), 'utf8').catch(() => '')).trim();
  for (const name of await readdir(classFolder)) {
    if ((await numberAt(name, 'ifindex')) !== index) continue;
    return (await numberAt(name, 'iflink')) === peer ? name : undefined;
  }
  return undefined;
}

const failed = (pid: number, problem: string, cause?: unknown) =>
  new FailedPreconditionError(
    `hairpin mode of the pod with process ${pid} is not set: ${problem}`,
    {
      cause,
    },
  );

/**
 * Lets the host's packet filter see what passes its bridges, which service proxies need. A host
 * that cannot is logged.
 */
export async function enableBridgeNetfilter(
  log: Pick<Logger, 'warn'>,
  folder = sysctlFolder,
): Promise<void> {
  if (!existsSync(folder)) {
    await run('modprobe', ['br_netfilter'], { timeout: limitMs }).catch(() => undefined);
  }
  for (const name of ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables']) {
    await writeFile(path.join(folder, name), '1', { flag: 'r+' }).catch((error: unknown) => {
      const problem = errorMessage(error);
      log.warn({ sysctl: `net.bridge.${name}`, problem }, 'the packet filter does not see bridges');
    });
  }
}
