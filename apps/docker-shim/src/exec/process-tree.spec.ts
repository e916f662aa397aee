import { eventually } from '@stowage/testing';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { killProcessTree } from './process-tree';

const id = 'a'.repeat(64);
const other = 'b'.repeat(64);

describe('killProcessTree', () => {
  let procDir: string;
  beforeEach(() => {
    procDir = mkdtempSync(path.join(tmpdir(), 'process-tree-'));
  });
  afterEach(() => rmSync(procDir, { recursive: true, force: true }));
  const add = (
    pid: number,
    { parent = 1, session = 1, state = 'S', group = `/docker/${id}` } = {},
  ) => {
    const folder = path.join(procDir, String(pid));
    mkdirSync(folder);
    writeFileSync(
      path.join(folder, 'stat'),
      `${pid} (a) b (c) ${state} ${parent} ${pid} ${session} 0 0`,
    );
    writeFileSync(path.join(folder, 'cgroup'), `12:pids:${group}\n0::/\n`);
  };
  const kill = async (pid: number, survivors: readonly number[] = []) => {
    const killed: number[] = [];
    const left = await killProcessTree(pid, id, {
      procDir,
      // A loaded machine may take long for a look; what survives is waited for to the end.
      withinMs: survivors.length === 0 ? 10_000 : 50,
      kill: (of) => {
        killed.push(of);
        if (!survivors.includes(of)) rmSync(path.join(procDir, String(of)), { recursive: true });
      },
    });
    return { killed: [...new Set(killed)].sort((a, b) => a - b), left };
  };

  it('kills descendants and the members of their sessions, and nothing else', async () => {
    writeFileSync(path.join(procDir, 'meminfo'), '');
    add(10);
    add(100, { parent: 1, session: 100 });
    add(101, { parent: 100, session: 100 });
    // Its parent is gone, its session is not.
    add(102, { parent: 1, session: 100 });
    // A session of its own, and one that was left behind in that.
    add(103, { parent: 101, session: 103 });
    add(104, { parent: 1, session: 103 });
    add(105, { parent: 1, session: 105 });
    expect(await kill(100)).toEqual({ killed: [100, 101, 102, 103, 104], left: 0 });
    expect(existsSync(path.join(procDir, '10')) && existsSync(path.join(procDir, '105'))).toBe(
      true,
    );
  });

  it('finds what a process that has ended has left', async () => {
    add(101, { parent: 1, session: 100 });
    expect(await kill(100)).toEqual({ killed: [101], left: 0 });
  });

  it('never signals a process of another container, whatever its number is', async () => {
    add(100, { session: 100, group: `/docker/${other}` });
    add(101, { parent: 100, session: 100, group: `/system.slice/docker-${other}.scope` });
    add(102, { parent: 100, session: 100, group: '/' });
    expect(await kill(100)).toEqual({ killed: [], left: 0 });
  });

  it('counts what is left, and no process that has ended already', async () => {
    add(100, { session: 100, state: 'Z' });
    add(101, { parent: 100, session: 100 });
    add(102, { parent: 100, session: 100 });
    expect(await kill(100, [102])).toEqual({ killed: [101, 102], left: 1 });
  });

  it('kills a real tree', async () => {
    // Its control groups are those of this test, so that a container is made up of them.
    const script = 'sleep 300 & setsid sleep 300 & sh -c "sleep 300; true"';
    const child = spawn('sh', ['-c', script], { detached: true, stdio: 'ignore' });
    const pid = child.pid!;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const members = () => {
      const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
      return listed === '' ? [] : listed.split(' ');
    };
    await eventually(() => members().length === 3);
    const pids = [String(pid), ...members()];
    const links = mkdtempSync(path.join(tmpdir(), 'process-tree-real-'));
    // A view of /proc in which these processes are in the container.
    const show = () => {
      for (const of of pids) {
        mkdirSync(path.join(links, of), { recursive: true });
        const stat = existsSync(`/proc/${of}/stat`) ? readFileSync(`/proc/${of}/stat`) : undefined;
        if (stat === undefined) rmSync(path.join(links, of), { recursive: true });
        else {
          writeFileSync(path.join(links, of, 'stat'), stat);
          writeFileSync(path.join(links, of, 'cgroup'), `0::/docker/${id}\n`);
        }
      }
    };
    show();
    const refresh = setInterval(show, 5);
    expect(await killProcessTree(pid, id, { procDir: links })).toBe(0);
    clearInterval(refresh);
    await ended;
    await eventually(() => pids.every((of) => !existsSync(`/proc/${of}`) || isZombie(of)));
    rmSync(links, { recursive: true, force: true });
  });
});

const isZombie = (pid: string) => / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
