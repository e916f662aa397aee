import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isInContainer } from './cgroup-dirs';

const id = 'a'.repeat(64);
const other = 'b'.repeat(64);

describe('isInContainer', () => {
  it.each([
    ['v1 with cgroupfs', `12:pids:/kubepods/pod1/${id}\n1:name=systemd:/docker/${id}\n`, true],
    ['v1 with systemd', `4:memory:/kubepods.slice/docker-${id}.scope\n`, true],
    ['v2 with systemd', `0::/system.slice/docker-${id}.scope\n`, true],
    ['v2 with a group of its own below', `0::/docker/${id}/init.scope\n`, true],
    ['another one', `0::/docker/${other}\n`, false],
    ['a longer name', `0::/docker/x${id}\n`, false],
    ['none', '0::/\n', false],
  ])('knows a group of %s', (_what, groups, expected) => {
    const procDir = mkdtempSync(path.join(tmpdir(), 'cgroup-dirs-'));
    mkdirSync(path.join(procDir, '7'));
    writeFileSync(path.join(procDir, '7', 'cgroup'), groups);
    expect(isInContainer(7, id, procDir)).toBe(expected);
    expect(isInContainer(8, id, procDir)).toBe(false);
    rmSync(procDir, { recursive: true });
  });
});
