import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { nodeProgram } from '@stowage/testing';
import { run, type Environment } from './run';

/** What images are built with and made on, by the names that Dockerfile and compose file have. */
export const baseImages = {
  node: 'node:24-bookworm-slim',
  distroless: 'gcr.io/distroless/nodejs24-debian13',
  nats: 'nats:2.10-alpine',
  prometheus: 'prom/prometheus:v3.5.0',
} as const;

const certificates = '/etc/ssl/certs/ca-certificates.crt';

/** Programs of a shell, in one. */
const busybox = '/bin/busybox';

/**
 * Makes the images of {@link baseImages} without a registry: of files of this machine, and of
 * Node.js 24 as npm has it. Each has what the original has of what is used here, and no more: the
 * one that services are made on has no shell.
 */
export async function makeBaseImages(dir: string, env: Environment): Promise<void> {
  const node = await nodeProgram('24');
  makeNode(path.join(dir, 'node'), node, env);
  makeDistroless(path.join(dir, 'distroless'), node, env);
  makeServer(path.join(dir, 'nats'), 'nats-server', baseImages.nats, env);
  makeServer(path.join(dir, 'prometheus'), 'prometheus', baseImages.prometheus, env);
}

function makeNode(folder: string, node: string, env: Environment): void {
  const npm = path.join(path.dirname(path.dirname(process.execPath)), 'lib/node_modules/npm');
  if (!existsSync(npm)) throw new Error(`no npm found beside ${process.execPath}`);
  makeRoot(folder, {
    [node]: '/usr/bin/node',
    [busybox]: busybox,
    [nsenter()]: '/usr/bin/nsenter',
  });
  cpSync(npm, path.join(folder, 'usr/lib/node_modules/npm'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  link(folder, '/usr/bin/npm', '../lib/node_modules/npm/bin/npm-cli.js');
  // npm's first line asks for env.
  for (const applet of run(busybox, ['--list']).trim().split('\n')) {
    link(folder, `/usr/bin/${applet}`, busybox);
  }
  importImage(folder, baseImages.node, [`ENV NODE_EXTRA_CA_CERTS=${certificates}`], env);
}

function makeDistroless(folder: string, node: string, env: Environment): void {
  makeRoot(folder, { [node]: '/nodejs/bin/node' });
  importImage(folder, baseImages.distroless, ['ENTRYPOINT ["/nodejs/bin/node"]'], env);
}

/** An image that starts one program of this machine. */
function makeServer(folder: string, name: string, image: string, env: Environment): void {
  const program = programPath(name);
  makeRoot(folder, { [program]: `/usr/bin/${name}` });
  importImage(folder, image, [`ENTRYPOINT ["/usr/bin/${name}"]`], env);
}

const nsenter = (): string => programPath('nsenter');

const programPath = (name: string): string =>
  run('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${name}`]).trim();

/** A root folder with programs, by the path where each goes, and the libraries that they load. */
function makeRoot(folder: string, programs: Readonly<Record<string, string>>): void {
  for (const sub of ['etc/ssl/certs', 'tmp', 'usr/bin', 'usr/lib', 'usr/lib64']) {
    mkdirSync(path.join(folder, sub), { recursive: true });
  }
  for (const sub of ['bin', 'lib', 'lib64']) link(folder, `/${sub}`, `usr/${sub}`);
  const accounts = 'root:x:0:0::/root:/sbin/nologin\nnonroot:x:65532:65532::/tmp:/sbin/nologin\n';
  writeFileSync(path.join(folder, 'etc/passwd'), accounts);
  writeFileSync(path.join(folder, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
  copy(certificates, path.join(folder, certificates));
  for (const [program, at] of Object.entries(programs)) {
    copy(program, path.join(folder, at));
    for (const library of librariesOf(program)) copy(library, path.join(folder, library));
  }
}

/** Absolute paths as the loader names them; none for a static program. */
function librariesOf(program: string): string[] {
  const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  return [...stdout.matchAll(/(?:^|=>)\s*(\/\S+)/gm)].map(([, library = '']) => library);
}

function copy(from: string, to: string): void {
  mkdirSync(path.dirname(to), { recursive: true });
  run('cp', ['--dereference', '--preserve=mode', from, to]);
}

function link(folder: string, at: string, target: string): void {
  const file = path.join(folder, at);
  if (!existsSync(file)) symlinkSync(target, file);
}

function importImage(
  folder: string,
  name: string,
  changes: readonly string[],
  env: Environment,
): void {
  const flags = changes.map((change) => `--change '${change}'`).join(' ');
  run('sh', ['-c', `tar -C '${folder}' -c . | docker import ${flags} - ${name}`], env);
  rmSync(folder, { recursive: true, force: true });
}
