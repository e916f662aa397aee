import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { archive } from './artifacts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'stowage-release-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function folder(name: string, names: readonly string[], time: number): string {
  const made = path.join(dir, name);
  mkdirSync(path.join(made, 'inner'), { recursive: true });
  for (const file of names) {
    const at = path.join(made, file);
    writeFileSync(at, `content of ${file}\n`);
    utimesSync(at, time, time);
  }
  return made;
}

it('gives the same bytes for the same files, whenever and in which order they were written', () => {
  const one = folder('one', ['b', 'a', 'inner/c'], 1_000_000_000);
  const other = folder('other', ['inner/c', 'a', 'b'], 1_700_000_000);
  chmodSync(path.join(other, 'a'), 0o600);
  chmodSync(path.join(one, 'a'), 0o644);
  const [first, second] = [one, other].map((source, index) => {
    const file = path.join(dir, `${index}.tar.gz`);
    archive(source, 'app-1.2.3', file, 1_750_000_000);
    return readFileSync(file);
  });
  expect(first?.equals(second ?? Buffer.alloc(0))).toBe(true);
});

it('holds the files in a folder of the given name, for everybody to read, with links and programs as they are', () => {
  const source = folder('one', ['program'], 1_000_000_000);
  chmodSync(path.join(source, 'program'), 0o700);
  execFileSync('ln', ['-s', 'program', path.join(source, 'link')]);
  const file = path.join(dir, 'out.tar.gz');
  archive(source, 'app-1.2.3', file, 1_750_000_000);
  const listed = execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--file', file], {
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC' },
  });
  expect(listed).toMatch(/^-rwxr-xr-x 0\/0 .* 2025-06-15 .* app-1\.2\.3\/program$/m);
  expect(listed).toMatch(/^drwxr-xr-x 0\/0 .* app-1\.2\.3\/inner\/$/m);
  expect(listed).toMatch(/app-1\.2\.3\/link -> program$/m);
});
