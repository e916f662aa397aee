import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** What a control group of the tree says; bytes and nanoseconds. */
export interface TreeGroup {
  cpuNs?: bigint;
  used?: bigint;
  inactiveFile?: bigint;
  limit?: bigint;
  swapUsed?: bigint;
  swapLimit?: bigint;
  tasks?: number;
  /** Processes in it. */
  pids?: readonly number[];
}

const controllers = ['cpu,cpuacct', 'memory', 'pids', 'blkio', 'hugetlb'] as const;

/** A proc file system and hierarchies of control groups, as files of a test. */
export class CgroupTree {
  readonly root = mkdtempSync(path.join(tmpdir(), 'cgroup-tree-'));
  readonly proc = path.join(this.root, 'proc');

  constructor(readonly version: 1 | 2) {
    const fs = path.join(this.root, 'sys/fs/cgroup');
    const mounts =
      version === 2
        ? [`30 24 0:26 / ${fs} rw - cgroup2 cgroup2 rw,nsdelegate`]
        : [
            ...controllers.map(
              (names, index) =>
                `${31 + index} 24 0:${27 + index} / ${path.join(fs, names)} rw - cgroup cgroup rw,${names}`,
            ),
            // As systemd mounts it beside version 1, without controllers.
            `40 24 0:40 / ${path.join(fs, 'unified')} rw - cgroup2 cgroup2 rw`,
          ];
    this.write(
      'proc/self/mountinfo',
      ['24 1 8:1 / / rw - ext4 /dev/sda1 rw', ...mounts].join('\n'),
    );
    this.write('proc/diskstats', '   8       0 sda 1 2 3 4\n');
  }

  /** Puts a process into a control group, whether that is there or not. */
  process(pid: number, group: string): void {
    this.write(
      `proc/${pid}/cgroup`,
      this.version === 2
        ? `0::${group}\n`
        : [...controllers.map((names, index) => `${index + 1}:${names}:${group}`), '0::/'].join(
            '\n',
          ),
    );
    this.write(
      `proc/${pid}/limits`,
      'Max open files            1024                 4096     files\n',
    );
    const descriptors = path.join(this.proc, `${pid}/fd`);
    // As a whole: rmSync of Node.js 24.0 leaves links to nothing where they are.
    rmSync(descriptors, { recursive: true, force: true });
    mkdirSync(descriptors);
    for (const [fd, target] of ['/dev/null', 'socket:[1]', 'pipe:[2]'].entries()) {
      symlinkSync(target, path.join(descriptors, String(fd)));
    }
  }

  /** The file net/dev of a process. */
  netDev(pid: number, lines: readonly string[]): void {
    const head = [
      'Inter-|   Receive  |  Transmit',
      ' face |bytes packets errs drop |bytes packets',
    ];
    this.write(`proc/${pid}/net/dev`, [...head, ...lines, ''].join('\n'));
  }

  group(group: string, of: TreeGroup): void {
    const { cpuNs = 0n, used = 0n, inactiveFile = 0n, tasks = 1, pids = [] } = of;
    const procs = pids.map((pid) => `${pid}\n`).join('');
    const files: Record<string, string> =
      this.version === 2
        ? {
            'cpu.stat': `usage_usec ${cpuNs / 1000n}\nuser_usec 3000000\nsystem_usec 2000000\nnr_periods 5\nnr_throttled 2\nthrottled_usec 4000000\n`,
            'cpu.weight': '100\n',
            'cpu.max': '50000 100000\n',
            'memory.current': `${used}\n`,
            'memory.stat': `anon 1000\nfile 2000\nkernel 300\nfile_mapped 40\ninactive_file ${inactiveFile}\npgfault 70\npgmajfault 8\n`,
            'memory.max': of.limit === undefined ? 'max\n' : `${of.limit}\n`,
            'memory.peak': `${used + 1n}\n`,
            'memory.low': '0\n',
            'memory.events': 'low 0\nhigh 0\nmax 6\noom 1\noom_kill 1\n',
            'pids.current': `${tasks}\n`,
            'pids.max': 'max\n',
            'io.stat': '8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n',
            'hugetlb.2MB.current': '0\n',
            'hugetlb.2MB.rsvd.current': '0\n',
            'cgroup.procs': procs,
            'cpu.pressure': pressure(1),
            'memory.pressure': pressure(2),
            'io.pressure': pressure(3),
            ...this.#swap(used, of),
          }
        : {
            'cpu,cpuacct:cpuacct.usage': `${cpuNs}\n`,
            'cpu,cpuacct:cpuacct.stat': 'user 300\nsystem 200\n',
            'cpu,cpuacct:cpu.stat': 'nr_periods 5\nnr_throttled 2\nthrottled_time 4000000000\n',
            'cpu,cpuacct:cpu.shares': '1024\n',
            'cpu,cpuacct:cpu.cfs_period_us': '100000\n',
            'cpu,cpuacct:cpu.cfs_quota_us': '50000\n',
            'memory:memory.usage_in_bytes': `${used}\n`,
            'memory:memory.stat': `cache 1\ntotal_cache 2000\ntotal_rss 1000\ntotal_mapped_file 40\npgfault 7\ntotal_pgfault 70\ntotal_pgmajfault 8\ntotal_inactive_file ${inactiveFile}\n`,
            'memory:memory.limit_in_bytes': `${of.limit ?? 9223372036854771712n}\n`,
            'memory:memory.kmem.usage_in_bytes': '300\n',
            'memory:memory.max_usage_in_bytes': `${used + 1n}\n`,
            'memory:memory.failcnt': '6\n',
            'memory:memory.soft_limit_in_bytes': '9223372036854771712\n',
            'memory:memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n',
            'memory:cgroup.procs': procs,
            'pids:pids.current': `${tasks}\n`,
            'pids:pids.max': 'max\n',
            'blkio:blkio.throttle.io_service_bytes_recursive':
              '8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288\n',
            'blkio:blkio.throttle.io_serviced_recursive': '8:0 Read 1\n8:0 Write 2\nTotal 3\n',
            'hugetlb:hugetlb.2MB.usage_in_bytes': '0\n',
            'hugetlb:hugetlb.2MB.max_usage_in_bytes': '0\n',
            ...this.#swap(used, of),
          };
    for (const [file, text] of Object.entries(files)) {
      const [controller, name] = file.includes(':') ? file.split(':') : ['', file];
      this.write(path.join('sys/fs/cgroup', controller ?? '', group, name ?? ''), text);
    }
  }

  /** Absent where the kernel does not account for swap. */
  #swap(used: bigint, { limit = 0n, swapUsed, swapLimit }: TreeGroup): Record<string, string> {
    if (swapUsed === undefined) return {};
    if (this.version === 2) {
      return {
        'memory.swap.current': `${swapUsed}\n`,
        'memory.swap.max': `${swapLimit ?? 'max'}\n`,
      };
    }
    const withMemory = swapLimit === undefined ? 9223372036854771712n : limit + swapLimit;
    return {
      'memory:memory.memsw.usage_in_bytes': `${used + swapUsed}\n`,
      'memory:memory.memsw.limit_in_bytes': `${withMemory}\n`,
    };
  }

  /** Removes a control group, as the kernel does when a container ends. */
  end(group: string): void {
    for (const controller of this.version === 2 ? [''] : controllers) {
      rmSync(path.join(this.root, 'sys/fs/cgroup', controller, group), {
        recursive: true,
        force: true,
      });
    }
  }

  endProcess(pid: number): void {
    rmSync(path.join(this.proc, String(pid)), { recursive: true, force: true });
  }

  write(file: string, text: string): void {
    const whole = path.join(this.root, file);
    mkdirSync(path.dirname(whole), { recursive: true });
    writeFileSync(whole, text);
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

const pressure = (seconds: number): string =>
  `some avg10=1.50 avg60=0.50 avg300=0.25 total=${seconds}000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=${seconds}\n`;
