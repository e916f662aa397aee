import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Writes an OCI archive with one small image of this name. Returns its file. */
export function writeImage(folder: string, name: string): string {
  const place = mkdtempSync(path.join(folder, 'image-'));
  mkdirSync(path.join(place, 'blobs/sha256'), { recursive: true });
  const put = (mediaType: string, content: Buffer | string) => {
    const bytes = Buffer.from(content);
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(path.join(place, 'blobs/sha256', hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const oci = 'application/vnd.oci.image';
  writeFileSync(path.join(place, 'hello'), `this is ${name}\n`);
  const layer = put(
    `${oci}.layer.v1.tar`,
    execFileSync('tar', ['-C', place, '--owner=0', '--group=0', '-c', 'hello']),
  );
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfs = { type: 'layers', diff_ids: [layer.digest] };
  const config = put(
    `${oci}.config.v1+json`,
    JSON.stringify({ architecture, os: 'linux', config: {}, rootfs }),
  );
  const type = `${oci}.manifest.v1+json`;
  const manifest = put(
    type,
    JSON.stringify({ schemaVersion: 2, mediaType: type, config, layers: [layer] }),
  );
  const annotations = {
    'io.containerd.image.name': name,
    'org.opencontainers.image.ref.name': name,
  };
  writeFileSync(
    path.join(place, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  writeFileSync(path.join(place, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const archive = `${place}.tar`;
  execFileSync('tar', ['-C', place, '-cf', archive, 'oci-layout', 'index.json', 'blobs']);
  return archive;
}
