import { createCipheriv, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { runProgram } from '../run-program';
import type { TestImage } from '../types';
import { packTar, singleFileOverheadBytes, type TarEntry } from './tar';

/** Bytes with their digest, as a registry stores them. */
export interface Blob {
  digest: string;
  content: Buffer;
}

/** An image ready to be pushed. */
export interface BuiltImage {
  layers: Blob[];
  config: Blob;
  manifest: Blob;
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';

const mebibyte = 1024 * 1024;

/**
 * Waits without using processor time, and ends at once on SIGTERM, which a bare `sleep` as PID 1
 * ignores.
 */
const waitCommand = [
  '/bin/sh',
  '-c',
  'trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done',
];

/**
 * Builds an image from busybox and random bytes: no network, no program but busybox, a few
 * milliseconds. Layers are not compressed, so that an image's size is also what its unpacked files
 * take.
 *
 * @throws RangeError when a size cannot be met.
 */
export async function buildImage(image: TestImage): Promise<BuiltImage> {
  const tag = typeof image.tag === 'string' ? image.tag : (image.tag?.[0] ?? 'latest');
  const identity = `${image.name}:${tag}`;
  const layers: Blob[] = [];
  if (image.runnable ?? true) layers.push(await busyboxLayer());
  const files = Object.entries(image.files ?? {});
  if (files.length > 0) layers.push(filesLayer(files));
  layers.push(...dataLayers(image, identity, layers));
  const config = jsonBlob({
    created: '2026-01-01T00:00:00Z',
    architecture: { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch,
    os: 'linux',
    config: {
      Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', ...(image.env ?? [])],
      ...(image.entrypoint === undefined ? {} : { Entrypoint: image.entrypoint }),
      Cmd: image.command ?? (image.entrypoint === undefined ? waitCommand : []),
      ...(image.stopSignal === undefined ? {} : { StopSignal: image.stopSignal }),
      ...(image.user === undefined ? {} : { User: image.user }),
      Labels: { 'io.stowage.testing.image': identity, ...image.labels },
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  });
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar', layer)),
  });
  return { layers, config, manifest };
}

function dataLayers(image: TestImage, identity: string, below: readonly Blob[]): Blob[] {
  if (image.layers !== undefined) {
    if (image.sizeMb !== undefined)
      throw new RangeError(`${identity}: sizeMb and layers exclude each other`);
    return image.layers.map(({ seed, sizeMb }) => {
      if (!(sizeMb > 0))
        throw new RangeError(`${identity}: sizeMb of layer ${seed} is ${sizeMb}, must be above 0`);
      return dataLayer(seed, sizeMb * mebibyte);
    });
  }
  if (image.sizeMb === undefined) return below.length === 0 ? [dataLayer(identity, 0)] : [];
  const belowBytes = below.reduce((sum, { content }) => sum + content.length, 0);
  const wantedBytes = image.sizeMb * mebibyte - belowBytes;
  if (!(wantedBytes > 0)) {
    throw new RangeError(
      `${identity}: sizeMb is ${image.sizeMb}, but the layers below take ${(belowBytes / mebibyte).toFixed(1)} MiB`,
    );
  }
  return [dataLayer(identity, wantedBytes)];
}

const builtLayers = new Map<string, Blob>();

/** A layer of about `sizeBytes` with one file of pseudo-random bytes that follow from the seed. */
function dataLayer(seed: string, sizeBytes: number): Blob {
  const fileBytes = Math.max(512, Math.round((sizeBytes - singleFileOverheadBytes) / 512) * 512);
  const key = createHash('sha256').update(`${seed} ${fileBytes}`).digest();
  const name = key.toString('hex').slice(0, 16);
  const known = builtLayers.get(name);
  if (known !== undefined) return known;
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const layer = blob(
    packTar([
      { path: 'data/', type: 'directory', mode: 0o755 },
      {
        path: `data/${name}`,
        type: 'file',
        mode: 0o644,
        content: cipher.update(Buffer.alloc(fileBytes)),
      },
    ]),
  );
  if (fileBytes <= mebibyte) builtLayers.set(name, layer); // larger ones are rebuilt rather than kept
  return layer;
}

function filesLayer(files: readonly (readonly [string, string])[]): Blob {
  const dirs = new Set<string>();
  for (const [file] of files) {
    if (!path.isAbsolute(file))
      throw new RangeError(`file in a test image must be absolute: ${file}`);
    for (let dir = path.dirname(file); dir !== '/'; dir = path.dirname(dir)) dirs.add(dir);
  }
  return blob(
    packTar([
      ...[...dirs]
        .sort()
        .map((dir): TarEntry => ({ path: `${dir.slice(1)}/`, type: 'directory', mode: 0o755 })),
      ...files.map(([file, content]): TarEntry => ({
        path: file.slice(1),
        type: 'file',
        mode: 0o755,
        content: Buffer.from(content),
      })),
    ]),
  );
}

let busybox: Promise<Blob> | undefined;

/**
 * The lowest layer of runnable images: busybox with a link for each of its commands, users and
 * groups.
 */
function busyboxLayer(): Promise<Blob> {
  busybox ??= (async () => {
    const program = '/bin/busybox';
    const commands = (await runProgram(program, ['--list'])).trim().split('\n');
    const dirs = [
      'bin/',
      'etc/',
      'root/',
      'sbin/',
      'usr/',
      'usr/bin/',
      'usr/sbin/',
      'var/',
      'var/log/',
      'var/run/',
    ];
    const users = [
      'root:x:0:0:root:/root:/bin/sh',
      'www-data:x:33:33:www-data:/:/bin/false',
      'nobody:x:65534:65534:nobody:/:/bin/false',
    ];
    const groups = ['root:x:0:', 'www-data:x:33:', 'nobody:x:65534:'];
    const lines = (list: string[]): Buffer => Buffer.from(`${list.join('\n')}\n`);
    return blob(
      packTar([
        ...dirs.map((dir): TarEntry => ({ path: dir, type: 'directory', mode: 0o755 })),
        { path: 'tmp/', type: 'directory', mode: 0o1777 },
        { path: 'etc/passwd', type: 'file', mode: 0o644, content: lines(users) },
        { path: 'etc/group', type: 'file', mode: 0o644, content: lines(groups) },
        { path: 'bin/busybox', type: 'file', mode: 0o755, content: readFileSync(program) },
        ...commands
          .filter((command) => command !== 'busybox')
          .map((command): TarEntry => ({
            path: `bin/${command}`,
            type: 'symlink',
            target: 'busybox',
          })),
        { path: 'usr/bin/env', type: 'symlink', target: '/bin/busybox' },
      ]),
    );
  })();
  return busybox;
}

const blob = (content: Buffer): Blob => ({
  content,
  digest: `sha256:${createHash('sha256').update(content).digest('hex')}`,
});

const jsonBlob = (value: unknown): Blob => blob(Buffer.from(JSON.stringify(value)));

const descriptor = (mediaType: string, { digest, content }: Blob): object => ({
  mediaType,
  digest,
  size: content.length,
});
