import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { targets } from './names';
import type { MatrixResult } from './results';
import { differencesList, markdownTable, testedVersions, withShortTable } from './table';

const root = path.resolve(__dirname, '../..');
const committed = JSON.parse(
  readFileSync(path.join(__dirname, 'results.json'), 'utf8'),
) as MatrixResult[];

const result = (name: string, change: Partial<MatrixResult> = {}): MatrixResult => ({
  name,
  date: '2026-01-31',
  commit: '0123456789abcdef',
  versions: {
    system: 'Debian GNU/Linux 13 (trixie)',
    containerd: '1.7.24',
    runc: '1.1.15',
    nats: '2.10.27',
    node: '20.19.2',
    kernel: '6.1.0-40-amd64',
  },
  passed: 3000,
  failed: 0,
  known: [],
  demo: 'passed',
  critest: 'passed',
  ...change,
});

it('a table has columns as wide as their widest cell', () => {
  expect(markdownTable(['a', 'bcde'], [['123456', 'x']])).toBe(
    '| a      | bcde |\n| ------ | ---- |\n| 123456 | x    |\n',
  );
});

it('what is written is formatted as the repository wants it', () => {
  const known = [{ test: 'a.spec.ts: takes one', reason: 'It takes none.' }];
  const text = testedVersions([result('debian13', { known }), result('node-22', { known })]);
  const prettier = path.join(root, 'node_modules/.bin/prettier');
  const formatted = execFileSync(
    process.execPath,
    [prettier, '--stdin-filepath', 'docs/tested-versions.md'],
    { cwd: root, input: text, encoding: 'utf8' },
  );
  expect(formatted).toBe(text);
  expect(text).toMatch(
    /\| `debian13` +\| Debian GNU\/Linux 13 \(trixie\) \| containerd 1\.7\.24 .* 0123456789ab /,
  );
});

it('a row of CRI-O names it and what starts its containers', () => {
  const { versions } = result('debian13');
  const row = { demo: 'not run', critest: 'not run' } as const;
  const text = testedVersions([
    result('crio-runc', { ...row, versions: { ...versions, crio: '1.36.3' } }),
    result('crio-crun', { ...row, versions: { ...versions, crio: '1.36.3', crun: '1.8.1' } }),
  ]);
  expect(text).toMatch(
    /`crio-runc` .*\| CRI-O 1\.36\.3 \| runc 1\.1\.15 .*\| not run \| not run \|/,
  );
  expect(text).toMatch(/`crio-crun` .*\| CRI-O 1\.36\.3 \| crun 1\.8\.1 +\|/);
});

it('a known difference stands once, with the names that have it', () => {
  const known = [{ test: 'a.spec.ts: takes one', reason: 'It takes none.' }];
  expect(differencesList([result('a', { known }), result('b', { known }), result('c')])).toBe(
    '- `a`, `b`: a.spec.ts: takes one: It takes none.\n',
  );
});

it('the short table replaces what stands between its marks, and nothing else', () => {
  const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
  const changed = withShortTable(readme, [result('debian13', { failed: 2 })]);
  expect(changed).toMatch(/\| 3000 tests passed, 2 failed +\|\n/);
  const others = { demo: 'failed', critest: 'failed' } as const;
  expect(withShortTable(readme, [result('debian13', others)])).toContain(
    '| 3000 tests passed, demo failed, critest failed |',
  );
  expect(withShortTable(changed, committed)).toBe(readme);
  expect(() => withShortTable('# Stowage\n', committed)).toThrow('README.md has no lines');
});

it('the README shows what was last seen: run `npm run matrix`, or commit what it wrote', () => {
  const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
  expect(withShortTable(readme, committed)).toBe(readme);
  expect(committed.map(({ name }) => name).filter((name) => !(name in targets))).toEqual([]);
});
