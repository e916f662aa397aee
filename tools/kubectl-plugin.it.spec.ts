import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { kubernetesPrograms } from './chart/kubernetes-programs';

/** stowctl as a plugin, found and started by kubectl itself. */

const program = path.resolve(__dirname, '../dist/apps/stowctl/main.js');
let kubectl: string;
let dir: string;

beforeAll(async () => {
  ({ kubectl } = await kubernetesPrograms());
  dir = mkdtempSync(path.join(tmpdir(), 'stowage-kubectl-'));
  for (const name of ['kubectl-stowage', 'kubectl_complete-stowage']) {
    symlinkSync(program, path.join(dir, name));
  }
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(kubectl, args, {
    cwd: dir,
    env: { PATH: [dir, path.dirname(process.execPath), '/usr/bin:/bin'].join(':'), HOME: dir },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

it('is listed by kubectl', () => {
  expect(run('plugin', 'list').stdout).toContain(path.join(dir, 'kubectl-stowage'));
});

it('runs with its flags, its output and its exit codes', () => {
  expect(run('stowage', '--version')).toMatchObject({
    ...{ status: 0, stderr: '', stdout: expect.stringMatching(/^stowctl \d+\.\d+\.\d+\n$/) },
  });
  const away = run('stowage', 'images', '--sockets', '/nonexistent', '-o', 'json');
  expect([away.status, away.stdout]).toEqual([1, '']);
  expect(away.stderr).toMatch(/^stowctl: .*there is no \/nonexistent\/\S+\.cmd\.sock/);
  const wrong = run('stowage', 'imgaes');
  expect([wrong.status, wrong.stderr]).toEqual([
    64,
    'stowctl: unknown command "imgaes"\n  the nearest is: stowctl images\n',
  ]);
});

it.each([
  [['gc', ''], ['run']],
  [
    ['images', '--sort', ''],
    ['name', 'size', 'age', 'last-used'],
  ],
  [['stat'], ['status']],
])("completes %j through kubectl's own completion", (words, expected) => {
  const { stdout } = run('__complete', 'stowage', ...words);
  const offered = stdout.split('\n').filter((line) => line !== '' && !line.startsWith(':'));
  expect(offered).toEqual(expected);
});
