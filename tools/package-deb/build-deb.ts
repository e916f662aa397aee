import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { configOf, releasedApps, releasedPrograms } from '../app-folders';
import { copyBundle } from '../bundle';
import { copyright, thirdPartyLicences } from './copyright';
import { configPage, servicePage, stowctlPage } from './man-pages';
import {
  architectures,
  extractNode,
  nodeTarball,
  nodeVersion,
  type Architecture,
} from './node-release';
import { stowctlSource } from './stowctl';

const project = path.resolve(__dirname, '../..');
const sources = path.join(project, 'deploy/debian');

export interface DebOptions {
  readonly architecture: Architecture;
  /** Version of Stowage. */
  readonly version: string;
  /** Of the package, beginning with 1 for each version. */
  readonly revision: number;
  /** Seconds since 1970: the time of every file, of the changelog and of the pages. */
  readonly epoch: number;
  /** `Name <address>` of whoever builds it. */
  readonly maintainer: string;
  readonly compression: 'xz' | 'gzip' | 'none';
  /** Folder that the package is written to. */
  readonly out: string;
}

/**
 * Builds one package of what lies in `dist/apps`, and returns its file. The same sources, options
 * and version of dpkg give the same bytes. Any user may do this.
 */
export async function buildDeb(options: DebOptions): Promise<string> {
  const { architecture, out, compression, epoch } = options;
  const file = path.join(out, `stowage_${debVersion(options)}_${architecture}.deb`);
  const tree = mkdtempSync(path.join(tmpdir(), 'stowage-deb-'));
  try {
    await placeFiles(tree, options);
    placeControl(tree, options);
    setTimes(tree, epoch);
    mkdirSync(out, { recursive: true });
    const how = ['--root-owner-group', `-Z${compression}`, '--threads-max=1'];
    // Under its name once it is complete.
    const building = `${file}.part`;
    execFileSync('dpkg-deb', [...how, '--build', tree, building], {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    renameSync(building, file);
    return file;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

const debVersion = ({ version, revision }: Pick<DebOptions, 'version' | 'revision'>): string =>
  `${version.replace('-', '~')}-${revision}`;

const dayOf = (epoch: number): string => new Date(epoch * 1000).toISOString().slice(0, 10);

async function placeFiles(tree: string, options: DebOptions): Promise<void> {
  const { architecture, version, epoch } = options;
  const doc = 'usr/share/doc/stowage';
  const put = (file: string, content: string | Buffer, mode = 0o644): void => {
    const there = path.join(tree, file);
    mkdirSync(path.dirname(there), { recursive: true });
    writeFileSync(there, content);
    chmodSync(there, mode);
  };
  const copy = (from: string, to: string, mode?: number): void =>
    put(to, readFileSync(path.join(sources, from)), mode);
  const gzip = (text: string): Buffer => gzipSync(text, { level: 9 });

  placeApps(path.join(tree, 'usr/lib/stowage/apps'), architecture);
  mkdirSync(path.join(tree, 'usr/lib/stowage/bin'), { recursive: true });
  const licence = path.join(tree, 'node-licence');
  extractNode(
    await nodeTarball(architecture),
    path.join(tree, 'usr/lib/stowage/bin/node'),
    licence,
  );
  chmodSync(path.join(tree, 'usr/lib/stowage/bin/node'), 0o755);
  put(`${doc}/node-licence.gz`, gzip(readFileSync(licence, 'utf8')));
  rmSync(licence);

  for (const unit of readdirSync(path.join(sources, 'systemd'))) {
    copy(`systemd/${unit}`, `usr/lib/systemd/system/${unit}`);
  }
  copy('sysusers.conf', 'usr/lib/sysusers.d/stowage.conf');
  copy('tmpfiles.conf', 'usr/lib/tmpfiles.d/stowage.conf');
  copy('config.yaml', 'etc/stowage/config.yaml');
  copy('stowctl', 'usr/bin/stowctl', 0o755);

  const { commands, reachFlags, outputFlags, completionScript } = await stowctlSource();
  const completions = {
    bash: 'usr/share/bash-completion/completions/stowctl',
    zsh: 'usr/share/zsh/vendor-completions/_stowctl',
    fish: 'usr/share/fish/vendor_completions.d/stowctl.fish',
  } as const;
  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    put(completions[shell], `${completionScript(shell)}\n`);
  }
  const definitions = await Promise.all(releasedApps.map(configOf));
  const edition = { version, date: dayOf(epoch) };
  const flags = { reach: reachFlags, output: outputFlags };
  const man = 'usr/share/man';
  put(`${man}/man1/stowctl.1.gz`, gzip(stowctlPage(commands, flags, edition)));
  put(`${man}/man5/stowage-config.5.gz`, gzip(configPage(definitions, edition)));
  for (const definition of definitions) {
    const name = `${man}/man8/stowage-${definition.app}.8.gz`;
    put(name, gzip(servicePage(definition, definitions, edition)));
  }
  put(`${doc}/changelog.Debian.gz`, gzip(changelog(options)));
  put(`${doc}/copyright`, copyright(nodeVersion));
  put(`${doc}/third-party-licences.gz`, gzip(thirdPartyLicences()));
}

/**
 * The bundles as they were built, of the SQLite bindings with that for the processor of the package
 * alone. That of Node.js before 22.14 is left out, too.
 */
function placeApps(folder: string, architecture: Architecture): void {
  const binding = `better_sqlite3_napi.${architectures[architecture]}.node`;
  for (const app of releasedPrograms) {
    copyBundle(app, path.join(folder, app), (nativePart) => nativePart === binding);
  }
  for (const file of entries(folder)) chmodSync(file, lstatSync(file).isFile() ? 0o644 : 0o755);
}

function placeControl(tree: string, options: DebOptions): void {
  const files = entries(tree).filter((file) => lstatSync(file).isFile());
  const sums = files
    .map((file) => [path.relative(tree, file), readFileSync(file)] as const)
    .filter(([name]) => !name.startsWith('etc/'))
    .map(([name, content]) => `${createHash('md5').update(content).digest('hex')}  ${name}\n`);
  const kibibytes = files.reduce((sum, file) => sum + Math.ceil(lstatSync(file).size / 1024), 0);
  const folder = path.join(tree, 'DEBIAN');
  mkdirSync(folder, { mode: 0o755 });
  const put = (name: string, text: string, mode = 0o644): void => {
    writeFileSync(path.join(folder, name), text);
    chmodSync(path.join(folder, name), mode);
  };
  put('control', control(options, kibibytes));
  put('conffiles', '/etc/stowage/config.yaml\n');
  put('md5sums', sums.join(''));
  const units = readFileSync(path.join(sources, 'units.sh'), 'utf8');
  for (const script of ['postinst', 'prerm', 'postrm']) {
    const body = readFileSync(path.join(sources, script), 'utf8');
    put(script, `#!/bin/sh\nset -e\n${units}\n${body}\nexit 0\n`, 0o755);
  }
}

function control(options: DebOptions, kibibytes: number): string {
  return [
    'Package: stowage',
    `Version: ${debVersion(options)}`,
    `Architecture: ${options.architecture}`,
    `Maintainer: ${options.maintainer}`,
    `Installed-Size: ${kibibytes}`,
    // Of Node.js, and of the SQLite binding; systemd with all that the units say.
    'Depends: init-system-helpers, libc6 (>= 2.34), libgcc-s1, libstdc++6 (>= 11), passwd, systemd (>= 249)',
    'Suggests: containerd | cri-o | docker.io, nats-server',
    'Section: admin',
    'Priority: optional',
    'Description: node-side services for container images and container runtimes',
    ' An endpoint of the CRI in front of the container runtime that reports what',
    ' happens to pods and containers, an image service that pulls with credentials,',
    ' a garbage collection of images that explains itself, and Docker Engine served',
    ' as a CRI runtime. What happens is published to NATS, or kept on the node.',
    ' .',
    ` The package brings Node.js ${nodeVersion}, which only its services use.`,
    '',
  ].join('\n');
}

function changelog(options: DebOptions): string {
  const date = new Date(options.epoch * 1000).toUTCString().replace('GMT', '+0000');
  return [
    `stowage (${debVersion(options)}) unstable; urgency=medium`,
    '',
    `  * Stowage ${options.version}, with Node.js ${nodeVersion}.`,
    '',
    ` -- ${options.maintainer}  ${date}`,
    '',
  ].join('\n');
}

/** All files and folders below a folder, sorted by name. */
function entries(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(folder, name))
    .sort();
}

function setTimes(tree: string, epoch: number): void {
  chmodSync(tree, 0o755);
  for (const file of [tree, ...entries(tree)]) {
    if (lstatSync(file).isDirectory()) chmodSync(file, 0o755);
    lutimesSync(file, epoch, epoch);
  }
}
