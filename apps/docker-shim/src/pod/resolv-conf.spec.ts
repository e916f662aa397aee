import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { InspectedContainer } from '../engine/engine-client';
import { dnsOf, engineDns, resolvConf, restoreResolvConf } from './resolv-conf';

const full = { servers: ['127.0.0.53', 'fd00::a'], searches: ['a.b', 'b'], options: ['ndots:5'] };
const none = { servers: [], searches: [], options: [] };

it.each([
  ['search a.b b\nnameserver 127.0.0.53\nnameserver fd00::a\noptions ndots:5\n', full],
  ['nameserver 10.0.0.1\n', { ...none, servers: ['10.0.0.1'] }],
  ['', none],
])('the file is %j', (text, dns) => expect(resolvConf(dns)).toBe(text));

it.each([[full], [none], [{ ...none, options: ['rotate'] }]])(
  'the engine keeps what was asked for: %j',
  (dns) => expect(dnsOf({ HostConfig: { ...engineDns(dns) } as object })).toEqual(dns),
);

it.each(['{}', '{"HostConfig":{}}', '{"HostConfig":{"Dns":null,"DnsSearch":[]}}'])(
  'nothing was asked for in %s',
  (answer) => expect(dnsOf(JSON.parse(answer) as InspectedContainer)).toBeUndefined(),
);

it("lets the engine's own be where nothing was asked for", () => {
  expect(engineDns(undefined)).toEqual({});
});

describe('restoreResolvConf', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'resolv-conf-'));
    file = path.join(folder, 'resolv.conf');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const sandbox = (dns: typeof full | undefined) => ({
    ResolvConfPath: file,
    HostConfig: { ...engineDns(dns) } as object,
  });

  it.each([
    ['a longer one', `${'#'.repeat(500)}\n`],
    ['a shorter one', 'x'],
    ['an empty one', ''],
  ])('makes the file what it is to be, and keeps it the same file: %s', async (_what, before) => {
    writeFileSync(file, before);
    const { ino } = statSync(file);
    await restoreResolvConf(sandbox(full));
    expect(readFileSync(file, 'utf8')).toBe(resolvConf(full));
    expect(statSync(file).ino).toBe(ino);
    await restoreResolvConf(sandbox(none));
    expect(readFileSync(file, 'utf8')).toBe('');
  });

  it('writes nothing where it is right, or not ours', async () => {
    for (const [dns, text] of [
      [full, resolvConf(full)],
      [undefined, 'nameserver 10.0.0.1\n'],
    ] as const) {
      writeFileSync(file, text);
      const { mtimeNs } = statSync(file, { bigint: true });
      await restoreResolvConf(sandbox(dns));
      expect(readFileSync(file, 'utf8')).toBe(text);
      expect(statSync(file, { bigint: true }).mtimeNs).toBe(mtimeNs);
    }
  });
});
