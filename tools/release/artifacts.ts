import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
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
 * rules, and SHA256SUMS, whose content it returns. Container images come from the Dockerfile, in
 * the workflow. The same sources give the same bytes.
 */
export function buildArtifacts({ version, epoch, out }: ArtifactOptions): string {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const apps = path.join(project, 'dist/apps');
  for (const app of readdirSync(apps).sort()) {
    const bundle = path.join(apps, app);
    archive(bundle, `${app}-${version}`, path.join(out, `${app}-${version}.tar.gz`), epoch);
    copyFileSync(path.join(bundle, 'bom.json'), path.join(out, `${app}-${version}.cdx.json`));
  }
  const env = { SOURCE_DATE_EPOCH: String(epoch) };
  const packages = path.join(project, 'dist/packages');
  for (const name of ['events', 'commands']) {
    run(process.execPath, ['tools/build-package.mjs', name, '--out', packages], env);
    const file = `stowage-${name}-${version}.tgz`;
    copyFileSync(path.join(packages, file), path.join(out, file));
  }
  const tsx = ['--import', 'tsx', 'tools/package-deb/main.ts', '--out', out];
  run(process.execPath, tsx, { ...env, TSX_TSCONFIG_PATH: path.join(project, 'tsconfig.json') });
  // As `helm package` names it, which would give its files the time of the moment.
  const chart = path.join(out, `stowage-${version}.tgz`);
  archive(path.join(project, 'deploy/helm/stowage'), 'stowage', chart, epoch);
  const monitoring = path.join(out, `stowage-monitoring-${version}.tar.gz`);
  archive(
    path.join(project, 'deploy/monitoring'),
    `stowage-monitoring-${version}`,
    monitoring,
    epoch,
  );
  const sums = readdirSync(out)
    .sort()
    .map((file) => `${sha256(path.join(out, file))}  ${file}\n`)
    .join('');
  writeFileSync(path.join(out, 'SHA256SUMS'), sums);
  return sums;
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
