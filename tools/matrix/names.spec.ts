import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkCrioVersion, selectNames } from './names';

const runMatrix = (...args: string[]) =>
  spawnSync(
    process.execPath,
    ['--import', require.resolve('tsx'), path.join(__dirname, 'main.ts'), ...args],
    {
      encoding: 'utf8',
      env: { ...process.env, TSX_TSCONFIG_PATH: path.resolve(__dirname, '../../tsconfig.json') },
    },
  );

it('everything is run that needs no program of the user, and CRI-O where one is named', () => {
  const without = selectNames([], undefined);
  expect(without).toContain('debian13');
  expect(without).toContain('node-26');
  expect(without.filter((name) => name.startsWith('crio'))).toEqual([]);
  expect(selectNames([], '/opt/crio')).toEqual([...without, 'crio-runc', 'crio-crun']);
});

it('a kind stands for all of its names', () => {
  expect(selectNames(['crio'], '/opt/crio')).toEqual(['crio-runc', 'crio-crun']);
  expect(selectNames(['debian', 'node-22'], undefined)).toEqual([
    'debian13',
    'debian-testing',
    'node-22',
  ]);
});

it.each([
  [
    ['crio'],
    undefined,
    'crio-runc, crio-crun: name the program of CRI-O 1.34 or later with --crio',
  ],
  [['node', 'crio-crun'], undefined, 'crio-crun: name the program of CRI-O 1.34 or later'],
  [['node-22'], '/opt/crio', '--crio is for crio and its names, not for node-22'],
  [['crio', 'debian14'], '/opt/crio', 'debian14: no name of the matrix. Names: debian13, '],
])('%j with --crio %s is refused', (asked, crio, message) => {
  expect(() => selectNames(asked, crio)).toThrow(message);
});

it('only a CRI-O of 1.34 or later is taken', () => {
  for (const answer of ['crio version 1.34.0\n', 'crio version v1.37.2-dev\nGitCommit: 1']) {
    expect(() => checkCrioVersion('/opt/crio', answer)).not.toThrow();
  }
  expect(() => checkCrioVersion('/opt/crio', 'crio version 1.33.9\n')).toThrow(
    '--crio /opt/crio: it is 1.33, 1.34 or later is needed',
  );
  expect(() => checkCrioVersion('/bin/true', 'true (GNU coreutils) 9.1\n')).toThrow(
    '--crio /bin/true: it does not say that it is CRI-O',
  );
});

describe('the command', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'stowage-matrix-'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    ['no program', ['crio'], 'name the program of CRI-O 1.34 or later with --crio PATH'],
    ['none that is there', ['crio', '--crio', '/none/crio'], '--crio /none/crio: '],
    ['a folder', ['crio', '--crio', '/tmp'], '--crio /tmp: '],
    ['another program', ['crio', '--crio', process.execPath], 'does not say that it is CRI-O'],
    ['an option without a value', ['crio', '--crio'], "'--crio <value>' argument missing"],
  ])('names what is wrong with %s, and starts nothing', (_, args, message) => {
    const { status, stderr, stdout } = runMatrix('--dir', folder, ...args);
    expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
    expect(stderr).toContain(message);
  });

  it('names what CRI-O needs and is not there', () => {
    const crio = path.join(folder, 'crio');
    writeFileSync(crio, '#!/bin/sh\necho crio version 1.36.3\n', { mode: 0o755 });
    const { status, stderr } = runMatrix('--dir', folder, 'crio', '--crio', crio);
    expect(stderr).toContain(`CRI-O needs pinns, which is neither beside ${crio} nor on PATH`);
    expect(status).toBe(64);
  });
});
