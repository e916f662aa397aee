import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { cycloneDxProblems } from '../cyclonedx-schema';
import { buildDeb, type DebOptions } from './build-deb';
import { architectures, type Architecture } from './node-release';
import { runTrial } from './run-trial';

/** The packages as dpkg sees them, and what an administrator does with one on this system. */

const folder = mkdtempSync(path.join(tmpdir(), 'stowage-debs-'));
const options = {
  version: '1.2.3',
  revision: 1,
  epoch: 1_790_000_000,
  maintainer: 'Test <test@stowage.invalid>',
  compression: 'none',
} as const satisfies Partial<DebOptions>;

const build = (architecture: Architecture, out: string): Promise<string> =>
  buildDeb({ ...options, architecture, out: path.join(folder, out) });

const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20 });

jest.setTimeout(600_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex');

/** What the kernel reads in the head of a program: the processor that it is for. */
const elfMachine = (file: string): number => readFileSync(file).readUInt16LE(18);
const machines: Record<Architecture, number> = { amd64: 62, arm64: 183 };

describe.each(['amd64', 'arm64'] as const)('the package for %s', (architecture) => {
  let deb: string;
  let tree: string;

  beforeAll(async () => {
    deb = await build(architecture, 'first');
    tree = path.join(folder, architecture);
    run('dpkg-deb', '--raw-extract', deb, tree);
  });

  it('has the same bytes when it is built again', async () => {
    const again = await build(architecture, 'second');
    expect(path.basename(again)).toBe(`stowage_1.2.3-1_${architecture}.deb`);
    expect(readFileSync(again).equals(readFileSync(deb))).toBe(true);
    rmSync(again);
  });

  it('has programs for that processor, and no binding of older versions of Node.js', () => {
    const lib = path.join(tree, 'usr/lib/stowage');
    const native = (readdirSync(lib, { recursive: true }) as string[]).filter(
      (name) => name === 'bin/node' || name.endsWith('.node'),
    );
    const binding = `better_sqlite3_napi.${architectures[architecture]}.node`;
    expect(native.sort()).toEqual([
      ...['docker-shim', 'gc-worker', 'image-service', 'runtime-gateway'].map(
        (app) => `apps/${app}/${binding}`,
      ),
      'bin/node',
    ]);
    for (const name of native) {
      expect([name, elfMachine(path.join(lib, name))]).toEqual([name, machines[architecture]]);
    }
  });

  it('lists in its bills of materials the binding that it has, by its hash, and no other', () => {
    const apps = path.join(tree, 'usr/lib/stowage/apps');
    const binding = `better_sqlite3_napi.${architectures[architecture]}.node`;
    for (const app of readdirSync(apps)) {
      const bom = JSON.parse(readFileSync(path.join(apps, app, 'bom.json'), 'utf8')) as {
        components: { type: string; name: string; hashes?: { content: string }[] }[];
      };
      expect([app, cycloneDxProblems(bom)]).toEqual([app, '']);
      const files = bom.components.filter(({ type }) => type === 'file');
      const there = readdirSync(path.join(apps, app)).filter((name) => name === binding);
      expect([app, files.map(({ name, hashes }) => [name, hashes?.[0]?.content])]).toEqual([
        app,
        there.map((name) => [name, sha256(path.join(apps, app, name))]),
      ]);
      const sqlite = bom.components.filter(({ name }) => name === 'sqlite');
      expect([app, sqlite.length]).toEqual([app, there.length]);
    }
  });

  it('has root own all, and nothing that others may write', () => {
    const lines = run('dpkg-deb', '--contents', deb).trim().split('\n');
    expect(lines.length).toBeGreaterThan(50);
    expect(
      lines.filter((line) => !/^[d-]rwxr-xr-x root\/root|^-rw-r--r-- root\/root/.test(line)),
    ).toEqual([]);
  });

  it('has what an administrator looks for, each in its place', () => {
    const names = run('dpkg-deb', '--contents', deb)
      .split('\n')
      .map((line) => line.split(' ./')[1] ?? '');
    expect(names).toEqual(
      expect.arrayContaining([
        'usr/bin/stowctl',
        'etc/stowage/config.yaml',
        'usr/share/bash-completion/completions/stowctl',
        'usr/share/zsh/vendor-completions/_stowctl',
        'usr/share/fish/vendor_completions.d/stowctl.fish',
        'usr/share/man/man1/stowctl.1.gz',
        'usr/share/man/man5/stowage-config.5.gz',
        'usr/share/man/man8/stowage-runtime-gateway.8.gz',
        'usr/share/man/man8/stowage-image-service.8.gz',
        'usr/share/man/man8/stowage-gc-worker.8.gz',
        'usr/share/man/man8/stowage-docker-shim.8.gz',
        'usr/lib/sysusers.d/stowage.conf',
        'usr/lib/tmpfiles.d/stowage.conf',
        'usr/lib/systemd/system/stowage-runtime-gateway.socket',
        'usr/lib/systemd/system/stowage-runtime-gateway-ro.socket',
        'usr/lib/systemd/system/stowage-image-service.socket',
        'usr/lib/systemd/system/stowage-docker-shim.socket',
        'usr/lib/systemd/system/stowage-gc-worker.service',
        'usr/share/doc/stowage/copyright',
        'usr/share/doc/stowage/changelog.Debian.gz',
        'usr/share/doc/stowage/third-party-licences.gz',
        'usr/share/doc/stowage/node-licence.gz',
      ]),
    );
    expect(readFileSync(path.join(tree, 'DEBIAN/conffiles'), 'utf8')).toBe(
      '/etc/stowage/config.yaml\n',
    );
    const field = (name: string) => run('dpkg-deb', '--field', deb, name).trim();
    expect([field('Package'), field('Version'), field('Architecture')]).toEqual([
      'stowage',
      '1.2.3-1',
      architecture,
    ]);
    expect(Number(field('Installed-Size'))).toBeGreaterThan(100_000);
    expect(statSync(path.join(tree, 'usr/bin/stowctl')).mode & 0o111).toBe(0o111);
  });

  it('has scripts that a shell understands, and sums of all files but the configuration', () => {
    for (const script of ['postinst', 'prerm', 'postrm']) {
      run('sh', '-n', path.join(tree, 'DEBIAN', script));
    }
    const sums = readFileSync(path.join(tree, 'DEBIAN/md5sums'), 'utf8').trim().split('\n');
    expect(sums.some((line) => line.endsWith('  usr/lib/stowage/bin/node'))).toBe(true);
    expect(sums.filter((line) => line.includes('  etc/'))).toEqual([]);
    execFileSync('md5sum', ['--quiet', '--check', 'DEBIAN/md5sums'], { cwd: tree });
  });

  it('has a changelog with its version, and licences of what is in it', () => {
    const doc = (name: string) => {
      const file = path.join(tree, 'usr/share/doc/stowage', name);
      return gunzipSync(readFileSync(file)).toString();
    };
    expect(doc('changelog.Debian.gz')).toMatch(
      /^stowage \(1\.2\.3-1\) unstable; urgency=medium\n\n {2}\* .+\n\n -- Test <test@stowage\.invalid> {2}\w{3}, \d\d \w{3} 2026 [\d:]{8} \+0000\n$/,
    );
    const licences = doc('third-party-licences.gz');
    for (const name of ['@grpc/grpc-js', '@nestjs/core', 'better-sqlite3-napi', 'nats', 'zod']) {
      expect(licences).toMatch(new RegExp(`^${name} \\d`, 'm'));
    }
    expect(licences).not.toMatch(/^eslint \d/m);
    expect(doc('node-licence.gz')).toContain('Node.js is licensed for use as follows');
  });
});

/** An administrator of plain hosts, who has docs/install-debian.md alone. */
it('a newcomer installs, looks, upgrades, goes back and purges, without a trace', async () => {
  const { version } = JSON.parse(
    readFileSync(path.resolve(__dirname, '../../package.json'), 'utf8'),
  ) as { version: string };
  const { code, output } = await runTrial('/', { version, epoch: options.epoch });
  expect([code, output]).toEqual([0, expect.stringContaining('ok: that was all that the page')]);
});
