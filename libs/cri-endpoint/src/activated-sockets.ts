import { readFileSync, readlinkSync } from 'node:fs';

/** A listening socket that systemd (or another supervisor) created and passed to this process. */
export interface ActivatedSocket {
  readonly fd: number;
  /**
   * From LISTEN_FDNAMES: the unit's FileDescriptorName, else the unit's name; empty when none is
   * given.
   */
  readonly name: string;
  /** Path that the socket is bound to; undefined where the kernel does not say. */
  readonly socketPath: string | undefined;
}

/** First descriptor of the protocol (sd_listen_fds). */
const firstFd = 3;

/**
 * The sockets passed to this process by the protocol of sd_listen_fds: LISTEN_PID must be this
 * process, LISTEN_FDS counts descriptors from 3 on, LISTEN_FDNAMES names them. Empty when none are
 * meant for this process.
 */
export function activatedSockets(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
  pathOf: (fd: number) => string | undefined = boundPath,
): ActivatedSocket[] {
  if (env.LISTEN_PID !== String(pid)) return [];
  const count = /^\d{1,4}$/.test(env.LISTEN_FDS ?? '') ? Number(env.LISTEN_FDS) : 0;
  const names = (env.LISTEN_FDNAMES ?? '').split(':');
  return Array.from({ length: count }, (_, i) => ({
    fd: firstFd + i,
    name: names[i] ?? '',
    socketPath: pathOf(firstFd + i),
  }));
}

/** Path of a unix socket by its descriptor, from `/proc`. */
function boundPath(fd: number): string | undefined {
  try {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`)) ?? [];
    if (inode === undefined) return undefined;
    for (const line of readFileSync('/proc/self/net/unix', 'utf8').split('\n')) {
      // Num RefCount Protocol Flags Type St Inode Path
      const found = /^\S+ \S+ \S+ \S+ \S+ \S+ +(\d+) (\/.*)$/.exec(line);
      if (found?.[1] === inode) return found[2];
    }
  } catch {
    // Not Linux, or no such descriptor.
  }
  return undefined;
}
