import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PodCidrs } from './pod-cidrs';

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'pod-cidrs-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const log = { info: () => undefined, warn: () => undefined };
const start = (configured: string[] = []) =>
  new PodCidrs(configured, path.join(folder, 'state'), log);

it('what kubelet says counts, also after a restart, until it says something else', () => {
  const before = start();
  expect(before.current).toEqual([]);
  before.set(['10.1.0.0/24', 'fd00::/64']);
  before.set([]);
  before.set(['']);
  expect(before.current).toEqual(['10.1.0.0/24', 'fd00::/64']);
  const after = start();
  expect(after.current).toEqual(['10.1.0.0/24', 'fd00::/64']);
  after.set(['10.2.0.0/24']);
  expect(start().current).toEqual(['10.2.0.0/24']);
});

it('the configuration counts more than kubelet', () => {
  start().set(['10.1.0.0/24']);
  const configured = start(['10.5.0.0/24']);
  configured.set(['10.2.0.0/24']);
  expect(configured.current).toEqual(['10.5.0.0/24']);
});

it.each(['10.1.0.0', '10.1.0.0/40', 'fd00::/129', 'a/8'])('refuses %j', (cidr) => {
  const cidrs = start();
  expect(() => cidrs.set(['10.1.0.0/24', cidr])).toThrow('network_config.pod_cidr');
  expect(cidrs.current).toEqual([]);
});

it('works with a damaged file and with one that cannot be written', () => {
  start().set(['10.1.0.0/24']);
  writeFileSync(path.join(folder, 'state', 'pod-cidrs.json'), '{"podCidrs":');
  expect(start().current).toEqual([]);
  const unwritable = new PodCidrs([], path.join(folder, 'state', 'pod-cidrs.json', 'x'), log);
  unwritable.set(['10.1.0.0/24']);
  expect(unwritable.current).toEqual(['10.1.0.0/24']);
});
