import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FakePlugins } from '../testing/fake-plugin';
import { CniConfigFolder } from './cni-config-folder';
import { CniPlugins } from './cni-plugins';

let folder: string;
let confDir: string;
let plugins: FakePlugins;
let configs: CniConfigFolder;
let now: number;
let logged: string[];
const stop = new AbortController();

const write = (name: string, content: unknown) => {
  mkdirSync(path.dirname(path.join(confDir, name)), { recursive: true });
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  writeFileSync(path.join(confDir, name), text);
};
const list = (name: string, ...types: string[]) => ({
  cniVersion: '1.0.0',
  name,
  plugins: types.map((type) => ({ type })),
});
const chosen = async () => {
  const choice = await configs.current();
  return 'problem' in choice
    ? choice.problem
    : `${choice.list.name}: ${choice.list.plugins.map(({ type }) => type).join()}`;
};

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cni-config-'));
  confDir = path.join(folder, 'net.d');
  plugins = new FakePlugins(folder);
  plugins.add('one');
  plugins.add('two');
  now = 0;
  logged = [];
  const write = (fields: unknown, message?: string) =>
    logged.push(`${message ?? ''} ${JSON.stringify(fields)}`);
  configs = new CniConfigFolder({
    confDir,
    plugins: new CniPlugins({ binDirs: [plugins.binDir], log: { debug: () => undefined } }),
    log: { info: write, warn: write },
    now: () => now,
    signal: stop.signal,
  });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('without folder or files there is no network, and the reason names the folder', async () => {
  expect(await chosen()).toBe(`no network configuration in ${confDir}`);
  mkdirSync(confDir);
  write('readme.txt', 'x');
  mkdirSync(path.join(confDir, '00.conflist'));
  expect(await chosen()).toBe(`no network configuration in ${confDir}`);
});

it('the first valid file by name counts, whatever its ending', async () => {
  write('20-b.conflist', list('b', 'one', 'two'));
  expect(await chosen()).toBe('b: one,two');
  write('10-a.conf', { cniVersion: '1.0.0', name: 'a', type: 'one' });
  expect(await chosen()).toBe('a: one');
  write('05-c.json', { cniVersion: '1.0.0', name: 'c', type: 'two' });
  expect(await chosen()).toBe('c: two');
  write('01-broken.conflist', '{');
  write('02-list.conf', list('d', 'one'));
  expect(await chosen()).toBe('c: two');
  expect(logged.at(-1)).toContain('"01-broken.conflist: it is not JSON"');
  expect(logged.at(-1)).toContain(
    '02-list.conf: it has no type; a list belongs into a .conflist file',
  );
});

it('a change counts at once, and is logged once', async () => {
  write('10-a.conflist', list('a', 'one'));
  expect(await chosen()).toBe('a: one');
  expect(await chosen()).toBe('a: one');
  expect(logged).toHaveLength(1);
  write('new', list('b', 'two', 'one'));
  renameSync(path.join(confDir, 'new'), path.join(confDir, '10-a.conflist'));
  expect(await chosen()).toBe('b: two,one');
  rmSync(path.join(confDir, '10-a.conflist'));
  expect(await chosen()).toBe(`no network configuration in ${confDir}`);
  expect(logged).toHaveLength(3);
});

it('each plugin must be there; what comes or goes is seen within five seconds', async () => {
  write('10-a.conflist', list('a', 'one', 'three'));
  const problem = `no valid network configuration in ${confDir}: 10-a.conflist: CNI plugin three failed at VERSION: it is not in ${plugins.binDir}`;
  expect(await chosen()).toBe(problem);
  plugins.add('three');
  now = 4999;
  expect(await chosen()).toBe(problem);
  now = 5000;
  expect(await chosen()).toBe('a: one,three');
  plugins.remove('one');
  now = 10_000;
  expect(await chosen()).toContain('CNI plugin one failed at VERSION: it is not in');
});

it('each plugin must know the version; it is asked once, until its program changes', async () => {
  write('10-a.conflist', list('a', 'one', 'one', 'two'));
  plugins.answer('two', 'VERSION', `echo '{"cniVersion":"0.4.0","supportedVersions":["0.4.0"]}'`);
  const problem = '10-a.conflist: plugin two does not know version 1.0.0';
  expect(await chosen()).toContain(problem);
  now = 5000;
  expect(await chosen()).toContain(problem);
  expect(plugins.calls('VERSION').map(({ plugin }) => plugin)).toEqual(['one', 'two']);
  plugins.answer('two', 'VERSION');
  plugins.remove('two');
  plugins.add('two');
  now = 10_000;
  expect(await chosen()).toBe('a: one,one,two');
  expect(plugins.calls('VERSION')).toHaveLength(3);
});

it.each([
  [
    'knows no VERSION',
    `echo '{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'; exit 1`,
    '0.1.0',
    undefined,
  ],
  [
    'knows no VERSION, and is wanted for more',
    `echo '{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'; exit 1`,
    '0.2.0',
    'does not know version 0.2.0',
  ],
  ['fails', 'exit 3', '1.0.0', 'CNI plugin one failed at VERSION: it ended with exit code 3'],
  ['answers something else', 'echo "{}"', '1.0.0', 'its answer names no versions'],
])('a plugin that %s', async (_what, script, cniVersion, problem) => {
  plugins.answer('one', 'VERSION', script);
  write('10-a.conflist', { ...list('a', 'one'), cniVersion });
  expect(await chosen()).toContain(problem ?? 'a: one');
});

it('plugins in the folder of the name come after those of the list, unless it says that it has all', async () => {
  write('10-a.conflist', list('a', 'one'));
  write('a/20.conf', { type: 'one' });
  write('a/10.conf', { type: 'two' });
  write('a/30.json', { type: 'three' });
  expect(await chosen()).toBe('a: one,two,one');
  write('10-a.conflist', { ...list('a', 'one'), loadOnlyInlinedPlugins: true });
  expect(await chosen()).toBe('a: one');
  write('10-a.conflist', { cniVersion: '1.0.0', name: 'a' });
  expect(await chosen()).toBe('a: two,one');
  rmSync(path.join(confDir, 'a'), { recursive: true });
  now = 5000;
  expect(await chosen()).toContain('10-a.conflist: it has no plugins');
});

it('who asks at the same time gets the same answer from one look', async () => {
  write('10-a.conflist', list('a', 'one'));
  const [a, b] = await Promise.all([configs.current(), configs.current()]);
  expect(a).toBe(b);
  expect(plugins.calls('VERSION')).toHaveLength(1);
});

it('a folder that cannot be read is a reason', async () => {
  writeFileSync(confDir, '');
  expect(await chosen()).toContain('ENOTDIR');
});
