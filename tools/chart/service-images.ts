import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { root } from './chart';

/** A blob in an image's layout. */
interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/**
 * Makes images of services from their bundles, without a registry: a layer with the Node.js that
 * runs here and the libraries that it is linked with, and one with the bundle, as the Dockerfile
 * has it.
 *
 * @param images what each image is called, by the name of its app.
 * @returns an archive in the OCI layout, as `ctr images import` takes it.
 */
export function makeServiceImages(dir: string, images: Readonly<Record<string, string>>): string {
  const layout = path.join(dir, 'layout');
  const blobs = path.join(layout, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const add = (file: string, mediaType: string): Descriptor => {
    const digest = createHash('sha256').update(readFileSync(file)).digest('hex');
    const size = statSync(file).size;
    renameSync(file, path.join(blobs, digest));
    return { mediaType, digest: `sha256:${digest}`, size };
  };
  const addJson = (value: unknown, mediaType: string): Descriptor => {
    const file = path.join(dir, 'blob.json');
    writeFileSync(file, JSON.stringify(value));
    return add(file, mediaType);
  };
  const addLayer = (fill: (folder: string) => void): Descriptor => {
    const [folder, file] = [path.join(dir, 'layer'), path.join(dir, 'layer.tar')];
    mkdirSync(folder);
    fill(folder);
    execFileSync('tar', ['--owner=0', '--group=0', '-C', folder, '-cf', file, '.']);
    rmSync(folder, { recursive: true });
    return add(file, 'application/vnd.oci.image.layer.v1.tar');
  };
  const base = addLayer(copyNode);
  const manifests = Object.entries(images).map(([app, name]) => {
    const bundle = addLayer((folder) => copyBundles(app, folder));
    const config = addJson(imageConfig([base, bundle]), 'application/vnd.oci.image.config.v1+json');
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = { schemaVersion: 2, mediaType, config, layers: [base, bundle] };
    const annotations = { 'io.containerd.image.name': name };
    return { ...addJson(manifest, mediaType), annotations };
  });
  writeFileSync(path.join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  writeFileSync(path.join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  const archive = path.join(dir, 'images.tar');
  execFileSync('tar', ['-C', layout, '-cf', archive, '.']);
  rmSync(layout, { recursive: true });
  return archive;
}

/** The service, and stowctl beside it. */
function copyBundles(app: string, folder: string): void {
  const bundles = path.join(root, 'dist/apps');
  const beside = path.join(folder, 'usr/lib/stowage/apps');
  cpSync(path.join(bundles, app), path.join(folder, 'app'), { recursive: true });
  cpSync(path.join(bundles, 'stowctl'), path.join(beside, 'stowctl'), { recursive: true });
  symlinkSync('/app', path.join(beside, app));
  const stowctl = path.join(beside, 'stowctl/main.js');
  writeFileSync(stowctl, readFileSync(stowctl, 'utf8').replace(/^#!.*/, '#!/nodejs/bin/node'));
  mkdirSync(path.join(folder, 'usr/bin'));
  symlinkSync('../lib/stowage/apps/stowctl/main.js', path.join(folder, 'usr/bin/stowctl'));
}

/** Node.js with its libraries, and the folders that a container's root has. */
function copyNode(folder: string): void {
  for (const name of ['tmp', 'run', 'proc', 'sys', 'dev', 'etc', 'var']) {
    mkdirSync(path.join(folder, name));
  }
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' });
  for (const file of libraries.match(/\/\S+/g) ?? []) {
    cpSync(file, path.join(folder, file), { recursive: true, dereference: true });
  }
  cpSync(process.execPath, path.join(folder, 'nodejs/bin/node'), { dereference: true });
  // Debian's own Node.js, in a library, reads parts of itself from here.
  const parts = '/usr/share/nodejs';
  if (libraries.includes('libnode.so') && existsSync(parts)) {
    cpSync(parts, path.join(folder, parts), { recursive: true, verbatimSymlinks: true });
  }
}

const imageConfig = (layers: readonly Descriptor[]) => ({
  created: '2026-01-01T00:00:00Z',
  architecture: process.arch === 'x64' ? 'amd64' : process.arch,
  os: 'linux',
  config: {
    Env: [
      'PATH=/usr/bin',
      'NODE_ENV=production',
      'MALLOC_ARENA_MAX=2',
      'MALLOC_TRIM_THRESHOLD_=131072',
    ],
    Entrypoint: ['/nodejs/bin/node', '/app/main.js'],
    WorkingDir: '/app',
  },
  rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
});
