import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { UnitFile } from './unit-file';

const unitFolder = '/usr/lib/systemd/system';

export const readUnit = (name: string): UnitFile =>
  new UnitFile(readFileSync(path.join(unitFolder, name), 'utf8'));

/** Number of a user or group, as getent knows it. */
export function idOf(database: 'passwd' | 'group', name: string): number {
  const line = execFileSync('getent', [database, name], { encoding: 'utf8' });
  return Number(line.split(':')[2]);
}

/** A socket of a socket unit. */
export interface UnitSocket {
  readonly unit: string;
  readonly name: string;
  readonly socketPath: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
}

export function unitSocket(unit: string): UnitSocket {
  const file = readUnit(unit);
  return {
    unit,
    name: file.text('Socket.FileDescriptorName') ?? unit,
    socketPath: file.text('Socket.ListenStream') ?? '',
    mode: file.text('Socket.SocketMode') ?? '0666',
    uid: idOf('passwd', file.text('Socket.SocketUser') ?? 'root'),
    gid: idOf('group', file.text('Socket.SocketGroup') ?? 'root'),
  };
}

/**
 * In Perl, which every Debian has: Node.js would begin to accept at once. Binds and listens as
 * systemd does, with descriptors from 3 on, and becomes the program after `--`.
 */
export const makeSockets = `
use Socket; $^F = 1000; my @kept;
while (@ARGV && (my $spec = shift) ne '--') {
  my ($file, $mode, $uid, $gid) = split /:/, $spec;
  socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
  umask 0777;
  bind($socket, sockaddr_un($file)) or die "$file: $!";
  chown($uid, $gid, $file) or die "$file: $!";
  chmod(oct($mode), $file) or die "$file: $!";
  listen($socket, SOMAXCONN) or die "$file: $!";
  push @kept, $socket;
}
umask 022;
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!";
`;

/**
 * The file system of a service: all read-only but for its own folders. Arguments: folders that may
 * be written, `--`, command.
 */
const withStrictSystem = `
set -eu
mount -o remount,bind,ro /
mount -o remount,bind,ro /run
while [ "$1" != -- ]; do
  mount --bind "$1" "$1"
  mount -o remount,bind,rw "$1"
  shift
done
shift
exec "$@"
`;

/** A service that was started by the command line of its unit. */
export class UnitService {
  #child: ChildProcess | undefined;

  /** @param log file that its output is appended to */
  constructor(
    readonly unit: string,
    private readonly sockets: readonly { readonly name: string; readonly fd: number }[],
    readonly log: string,
  ) {}

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /**
   * Starts it with the user, groups, capabilities, environment, folders, sockets and read-only
   * files that its unit says. What only systemd does (system calls, processes that are hidden) is
   * left out.
   */
  start(): void {
    const file = readUnit(this.unit);
    const user = file.text('Service.User') ?? 'root';
    const [uid, gid] = [idOf('passwd', user), idOf('group', user)];
    const state = path.join('/var/lib', file.text('Service.StateDirectory') ?? '');
    mkdirSync(state, { recursive: true });
    execFileSync('chmod', [file.text('Service.StateDirectoryMode') ?? '0755', state]);
    chownSync(state, uid, gid);
    const writable = [
      state,
      '/tmp',
      ...file.words('Service.ReadWritePaths').flatMap((word) => {
        const folder = word.replace(/^-/, '');
        return word === folder || existsSync(folder) ? [folder] : [];
      }),
    ];
    const groups = file.words('Service.SupplementaryGroups').map((name) => idOf('group', name));
    const capabilities = (name: string): string =>
      ['-all', ...file.words(name).map((word) => word.replace('CAP_', '+').toLowerCase())].join();
    const command = [
      ...['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', withStrictSystem, 'strict'],
      ...[...writable, '--', 'setpriv', `--reuid=${uid}`, `--regid=${gid}`],
      groups.length > 0 ? `--groups=${groups.join()}` : '--clear-groups',
      `--inh-caps=${capabilities('Service.AmbientCapabilities')}`,
      `--ambient-caps=${capabilities('Service.AmbientCapabilities')}`,
      `--bounding-set=${capabilities('Service.CapabilityBoundingSet')}`,
      ...(file.isOn('Service.NoNewPrivileges') ? ['--no-new-privs'] : []),
      ...[
        'sh',
        '-c',
        `umask ${file.text('Service.UMask') ?? '0022'}; LISTEN_PID=$$ exec "$@"`,
        'sh',
      ],
      ...file.words('Service.ExecStart'),
    ];
    const output = openSync(this.log, 'a');
    const [program = '', ...args] = command;
    this.#child = spawn(program, args, {
      stdio: ['ignore', output, output, ...this.sockets.map(({ fd }) => fd)],
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/var/lib/stowage',
        USER: user,
        ...Object.fromEntries(
          file.words('Service.Environment').map((word): [string, string] => {
            const [name = ''] = word.split('=', 1);
            return [name, word.slice(name.length + 1)];
          }),
        ),
        ...(this.sockets.length > 0 && {
          LISTEN_FDS: String(this.sockets.length),
          LISTEN_FDNAMES: this.sockets.map(({ name }) => name).join(':'),
        }),
      },
    });
    closeSync(output);
  }

  /** Asks it to end, as systemd does at a stop. Returns its exit code. */
  async stop(): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return null;
    this.#child = undefined;
    if (child.exitCode != null) return child.exitCode;
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    return ended;
  }
}
