import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { mountsUnder } from '../filesystem';
import { findProgram, runProgram } from '../run-program';
import { controlGroupsOf } from './manifest';
import { findMarked, stackMarker } from './processes';

/**
 * What is there of one stack on this machine, by kind. For the tests that look before and after.
 */
export interface StackTraces {
  processes: number[];
  mounts: string[];
  loopDevices: string[];
  links: string[];
  addresses: string[];
  portRules: string[];
  cgroups: string[];
  shimSockets: string[];
  cachedResults: string[];
  folders: string[];
}

/**
 * Looks for everything that carries the stack's id or one of its containers' ids. Nothing here is
 * shared with the code that removes a stack, apart from the marker of processes and the table of
 * mounts.
 */
export async function findTraces(
  stackId: string,
  containerIds: readonly string[],
): Promise<StackTraces> {
  const dir = `/tmp/stowage-testing-${process.getuid?.() ?? 0}/${stackId}`;
  const names = [stackId, ...containerIds];
  const mentions = (text: string): boolean => names.some((name) => text.includes(name));
  const lines = async (program: string, args: string[]): Promise<string[]> =>
    findProgram(program) === undefined
      ? []
      : (await runProgram(program, args)).split('\n').filter(mentions);
  const traces = {
    processes: [
      ...new Set([
        ...findMarked(stackMarker, (value) => value === stackId).map(({ pid }) => pid),
        ...processesThatMention(mentions),
      ]),
    ],
    mounts: mountsUnder(dir),
    loopDevices: await lines('losetup', ['--list', '--output', 'NAME,BACK-FILE']),
    links: await lines('ip', ['-o', 'link', 'show']),
    addresses: await lines('ip', ['-4', '-o', 'addr', 'show']),
    portRules: await lines('iptables-save', ['-t', 'nat']),
    cgroups: findCgroups([...containerIds.flatMap(controlGroupsOf), `stowage-${stackId}`]),
    shimSockets: containerIds
      .flatMap((id) => [
        `${dir}/containerd.sock/k8s.io/${id}`,
        `${dir}/docker-exec/containerd/containerd.sock/moby/${id}`,
      ])
      .map((name) => createHash('sha256').update(name).digest('hex'))
      .filter((name) => existsSync(path.join('/run/containerd/s', name))),
    cachedResults: listDir('/var/lib/cni/results').filter(mentions),
    folders: listDir(path.dirname(dir)).filter(mentions),
  };
  for (const found of Object.values(traces)) found.sort();
  return traces;
}

function processesThatMention(mentions: (text: string) => boolean): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const group = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
        return mentions(readFileSync(`/proc/${pid}/cmdline`, 'utf8') + group);
      } catch {
        return false;
      }
    })
    .map(Number);
}

function findCgroups(names: readonly string[]): string[] {
  const root = '/sys/fs/cgroup';
  return ['.', ...listDir(root)]
    .flatMap((controller) => names.map((group) => path.join(root, controller, group)))
    .filter((group) => existsSync(group));
}

const listDir = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : []);
