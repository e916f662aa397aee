import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isAbsent, readText } from './read-text';

describe('readText', () => {
  it('reads a file of the kernel to its end, though that comes in pieces', () => {
    const text = readText('/proc/self/maps') ?? '';
    expect(text.length).toBeGreaterThan(5000);
    expect(text).toContain('[stack]');
    expect(text.endsWith('\n')).toBe(true);
  });

  it('reads a file that is longer than most', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'read-text-'));
    const file = path.join(folder, 'long');
    const text = Array.from({ length: 10_000 }, (_, n) => `line ${n}\n`).join('');
    writeFileSync(file, text);
    expect(readText(file)).toBe(text);
    rmSync(folder, { recursive: true });
  });

  it('has nothing of what is not there, and of processes that are gone', () => {
    expect(readText('/proc/self/none')).toBeUndefined();
    expect(readText(`/proc/${2 ** 30}/cgroup`)).toBeUndefined();
    expect(readText('/proc/self/status/below')).toBeUndefined();
  });

  it('throws for what is there and cannot be read', () => {
    expect(() => readText('/proc/self')).toThrow('EISDIR');
    expect(isAbsent(Object.assign(new Error(), { code: 'EISDIR' }))).toBe(false);
  });
});
