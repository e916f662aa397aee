import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ContainerRecords } from './container-records';
import { processUserOf, userOf, writeLimits } from './first-process';

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'first-process-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const hugepages = (limit: bigint) => [{ pageSize: '2MB', limit }];

it.each([
  [
    'Name:\tsh\nUid:\t1000\t0\t0\t0\nGid:\t2000\t0\t0\t0\nGroups:\t50 1234 \n',
    { uid: 1000n, gid: 2000n, supplementalGroups: [50n, 1234n] },
  ],
  [
    'Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t \n',
    { uid: 0n, gid: 0n, supplementalGroups: [] },
  ],
  ['Name:\tsh\n', undefined],
])('reads the user of %j', (status, user) => {
  expect(userOf(status)).toEqual(user);
});

it('takes a process that is not in the container for none', () => {
  const cgroups = (isThere: boolean) => ({
    holds: () => isThere,
    find: () => undefined,
  });
  expect(processUserOf(process.pid, 'a1', cgroups(true))).toMatchObject({
    uid: BigInt(process.getuid!()),
  });
  expect(processUserOf(process.pid, 'a1', cgroups(false))).toBeUndefined();
  expect(processUserOf(2 ** 30, 'a1', cgroups(true))).toBeUndefined();
});

describe('writeLimits', () => {
  const cgroups = (version: 1 | 2) => ({
    holds: () => true,
    find: () =>
      version === 2
        ? { version, dir: folder, path: '/x' }
        : { version, dirs: { hugetlb: folder }, path: '/x' },
  });
  const write = async (
    limits: Parameters<typeof writeLimits>[0],
    version: 1 | 2 = 2,
  ): Promise<string[]> => {
    const missing: string[] = [];
    await writeLimits(limits, 1, 'a1', cgroups(version), (file) => missing.push(file));
    return missing;
  };
  const there = (name: string) => writeFileSync(path.join(folder, name), 'old, and longer');
  const content = (name: string) => readFileSync(path.join(folder, name), 'utf8');

  it('writes into files that are there', async () => {
    there('memory.high');
    there('hugetlb.2MB.max');
    const limits = { hugepageLimits: hugepages(4096n), unified: { 'memory.high': '1000' } };
    expect(await write(limits)).toEqual([]);
    // What the kernel makes of a file has no old rest.
    expect(content('memory.high')).toMatch(/^1000/);
    expect(content('hugetlb.2MB.max')).toMatch(/^4096/);
  });

  it('writes huge pages of version 1', async () => {
    there('hugetlb.2MB.limit_in_bytes');
    await write({ hugepageLimits: hugepages(4096n), unified: {} }, 1);
    expect(content('hugetlb.2MB.limit_in_bytes')).toMatch(/^4096/);
  });

  it('can do without files for huge pages, but not without those that were named', async () => {
    expect(await write({ hugepageLimits: hugepages(4096n), unified: {} })).toEqual([
      'hugetlb.2MB.max',
    ]);
    // None are wanted, and there are none.
    expect(await write({ hugepageLimits: hugepages(0n), unified: {} })).toEqual([]);
    await expect(write({ hugepageLimits: [], unified: { 'memory.high': '1' } })).rejects.toThrow(
      expect.objectContaining({
        grpcStatus: 'FAILED_PRECONDITION',
        message: expect.stringContaining(
          'memory.high of the control group cannot be set',
        ) as string,
      }) as Error,
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('ContainerRecords', () => {
  const user = { uid: 1000n, gid: 2000n, supplementalGroups: [5n] };
  const limits = { hugepageLimits: hugepages(2n ** 63n), unified: { 'memory.high': 'max' } };

  it('are there for the next process, until they are removed', async () => {
    const records = new ContainerRecords(path.join(folder, 'records'));
    await records.set('a1', { user, limits });
    await records.set('b2', { limits });
    const next = new ContainerRecords(path.join(folder, 'records'));
    expect(next.get('a1')).toEqual({ user, limits });
    expect(next.get('b2')).toEqual({ user: undefined, limits });
    expect(next.ids().sort()).toEqual(['a1', 'b2']);
    await next.remove('a1');
    await next.remove('a1');
    expect(new ContainerRecords(path.join(folder, 'records')).ids()).toEqual(['b2']);
  });

  it('that cannot be read are nobody’s trouble', () => {
    const dir = path.join(folder, 'records');
    mkdirSync(path.join(dir, 'folder'), { recursive: true });
    writeFileSync(path.join(dir, 'a1.json'), '{"version":7}');
    writeFileSync(path.join(dir, 'b2.json'), 'no json');
    const records = new ContainerRecords(dir);
    expect(records.ids()).toEqual([]);
    expect(readdirSync(dir)).toEqual([]);
    expect(records.get('a1')).toEqual({ limits: { hugepageLimits: [], unified: {} } });
  });
});
