import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { releasedPrograms } from '../app-folders';
import { copyBundle } from '../bundle';
import { project, run } from './sources';

export interface ArtifactOptions {
  readonly version: string;
  /** Time of every file in an archive, in seconds since 1970. */
  readonly epoch: number;
  /** Folder, made anew. */
  readonly out: string;
}

/**
 * Builds all that is published of a version, from the bundles in dist/apps: an archive and a bill
 * of materials of each app, the npm packages, the Debian packages, the chart, dashboards with
 * rules and runbooks, and SHA256SUMS, whose content it returns. Container images come from the
 * Dockerfile, in the workflow. The same sources give the same bytes.
 */
export function buildArtifacts({ version, epoch, out }: ArtifactOptions): string {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  for (const app of releasedPrograms) archiveApp(app, `${app}-${version}`, out, epoch);
  const env = { SOURCE_DATE_EPOCH: String(epoch) };
  const packages = path.join(project, 'dist/packages');
  for (const name of ['events', 'commands']) {
    run(process.execPath, ['tools/build-package.mjs', name, '--out', packages], env);
    const file = `stowage-${name}-${version}.tgz`;
    copyFileSync(path.join(packages, file), path.join(out, file));
  }
  // As `helm package` names it, which would give its files the time of the moment.
  const chart = path.join(out, `stowage-${version}.tgz`);
  archive(path.join(project, 'deploy/helm/stowage'), 'stowage', chart, epoch);
  archiveMonitoring(`stowage-monitoring-${version}`, out, epoch);
  const tsx = ['--import', 'tsx', 'tools/package-deb/main.ts', '--out', out];
  run(process.execPath, tsx, { ...env, TSX_TSCONFIG_PATH: path.join(project, 'tsconfig.json') });
  const sums = readdirSync(out)
    .sort()
    .map((file) => `${sha256(path.join(out, file))}  ${file}\n`)
    .join('');
  writeFileSync(path.join(out, 'SHA256SUMS'), sums);
  return sums;
}

/**
 * The bundle of an app and its bill of materials. The native part that is compiled for one version
 * of Node.js, where the builder has one, is left out: the others are for both processors, and for
 * Node.js 22.14 and later.
 */
function archiveApp(app: string, name: string, out: string, epoch: number): void {
  inTemporaryFolder((folder) => {
    copyBundle(app, folder, (nativePart) => nativePart !== 'better_sqlite3.node');
    archive(folder, name, path.join(out, `${name}.tar.gz`), epoch);
    copyFileSync(path.join(folder, 'bom.json'), path.join(out, `${name}.cdx.json`));
  });
}

/** Dashboards, rules and what provisions them, with the runbooks that the rules link to. */
function archiveMonitoring(name: string, out: string, epoch: number): void {
  inTemporaryFolder((folder) => {
    for (const part of ['dashboards', 'rules', 'targets', 'grafana', 'prometheus.yml']) {
      cpSync(path.join(project, 'deploy/monitoring', part), path.join(folder, part), {
        recursive: true,
      });
    }
    cpSync(path.join(project, 'docs/runbooks'), path.join(folder, 'runbooks'), { recursive: true });
    archive(folder, name, path.join(out, `${name}.tar.gz`), epoch);
  });
}

function inTemporaryFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-archive-'));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A .tar.gz of a folder under another name, the same bytes whoever makes it and when. */
export function archive(folder: string, name: string, file: string, epoch: number): void {
  const tar = execFileSync(
    'tar',
    [
      '--create',
      '--format=ustar',
      '--sort=name',
      `--mtime=@${epoch}`,
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '--mode=go=rX,u+rw',
      `--transform=s,^\\.,${name},`,
      '--directory',
      folder,
      '.',
    ],
    { maxBuffer: 1024 ** 3 },
  );
  writeFileSync(file, gzipSync(tar, { level: 9 }));
}

const sha256 = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex');
