/**
 * Builds the container images and starts docker-compose.yml once on a real Docker engine of its
 * own, against a real containerd, and watches a pull through image-service arrive as an event in
 * JetStream. docker-shim, of the profile docker, runs a pod on the engine that it lives on.
 *
 *   sudo npm run compose:check
 *
 * Needs root and a Debian or Ubuntu machine. Where the base images cannot be pulled
 * (`--local-base`, or no answer from the registry) it makes them from Debian packages and this
 * machine's Node.js, under the same names.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectImageService } from '@stowage/cri-client';
import { eventually, freePort, startStack, subscribeEvents } from '@stowage/testing';
import { ensurePrograms, root } from './bootstrap.mjs';
import { checkPod } from './compose-check-pod';

const nodeImage = 'node:22-bookworm-slim';
const natsImage = 'nats:2.10-alpine';
const services = [
  { name: 'runtime-gateway', portVariable: 'GATEWAY_HTTP_PORT' },
  { name: 'image-service', portVariable: 'IMAGE_HTTP_PORT' },
  { name: 'gc-worker', portVariable: 'GC_HTTP_PORT' },
  { name: 'docker-shim', portVariable: 'SHIM_HTTP_PORT' },
] as const;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Runs a command to its end; throws with its last output when it fails. */
function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  input?: string,
): string {
  const result = spawnSync(command, args, {
    cwd: root,
    env,
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (result.status === 0) return result.stdout;
  const output = `${result.stdout}${result.stderr}`.split('\n').slice(-40).join('\n');
  throw new Error(
    `${command} ${args.join(' ')} failed (${String(result.status ?? result.error)}):\n${output}`,
  );
}

interface Engine {
  readonly env: NodeJS.ProcessEnv;
  readonly socket: string;
  /** Where its images and containers are. */
  readonly dataRoot: string;
  stop(): Promise<void>;
}

/** A Docker engine with its own data, socket and bridge. */
async function startEngine(dir: string): Promise<Engine> {
  const bridge = `stwd${String(process.pid % 100_000)}`;
  const optBefore = existsSync('/opt/containerd');
  const rulesBefore = new Set(run('iptables-save', []).split('\n'));
  run('ip', ['link', 'add', bridge, 'type', 'bridge']);
  run('ip', ['address', 'add', '10.219.0.1/24', 'dev', bridge]);
  run('ip', ['link', 'set', bridge, 'up']);
  const socket = path.join(dir, 'docker.sock');
  const dataRoot = path.join(dir, 'data');
  const log = openSync(path.join(dir, 'dockerd.log'), 'w');
  const args = [
    '--data-root',
    dataRoot,
    '--exec-root',
    path.join(dir, 'exec'),
    '-p',
    path.join(dir, 'dockerd.pid'),
  ];
  args.push(
    '-H',
    `unix://${socket}`,
    '--bridge',
    bridge,
    '--default-address-pool',
    'base=10.220.0.0/16,size=24',
  );
  const daemon: ChildProcess = spawn('dockerd', args, { stdio: ['ignore', log, log] });
  const env = {
    ...process.env,
    PATH: `/usr/bin:${process.env['PATH'] ?? ''}`,
    DOCKER_HOST: `unix://${socket}`,
    DOCKER_CONFIG: path.join(dir, 'docker-config'),
  };
  const stop = async (): Promise<void> => {
    const ended =
      daemon.exitCode != null
        ? Promise.resolve()
        : new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    await ended;
    spawnSync('ip', ['link', 'del', bridge]);
    removeNewRules(rulesBefore);
    // The engine's containerd makes this folder wherever its own data lie.
    if (!optBefore) rmSync('/opt/containerd', { recursive: true, force: true });
    run('sh', [
      '-c',
      `awk '$2 ~ "^${dir}" {print $2}' /proc/mounts | sort -r | xargs -r umount -l`,
    ]);
  };
  try {
    await eventually(() => run('docker', ['version'], env) !== '', { timeoutMs: 60_000 });
  } catch (error) {
    await stop();
    throw new Error(
      `dockerd did not start:\n${readFileSync(path.join(dir, 'dockerd.log'), 'utf8').slice(-2000)}`,
      { cause: error },
    );
  }
  return { env, socket, dataRoot, stop };
}

/** Deletes the iptables rules and chains that the engine added; the others stay. */
function removeNewRules(before: ReadonlySet<string>): void {
  let table = '';
  const chains: string[][] = [];
  for (const line of run('iptables-save', []).split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    if (before.has(line)) continue;
    if (line.startsWith('-A ')) spawnSync('sh', ['-c', `iptables -t ${table} -D ${line.slice(3)}`]);
    const chain = /^:(DOCKER\S*) /.exec(line)?.[1];
    if (chain !== undefined) chains.push([table, chain]);
  }
  for (const [chainTable = '', chain = ''] of chains)
    spawnSync('iptables', ['-t', chainTable, '-X', chain]);
}

/**
 * Makes the two base images without a registry, from Debian packages and the Node.js that runs this
 * script.
 */
function makeBaseImages(dir: string, env: NodeJS.ProcessEnv): void {
  const prefix = path.dirname(path.dirname(process.execPath));
  const npm = ['lib/node_modules/npm', 'share/nodejs/npm']
    .map((tail) => path.join(prefix, tail))
    .find((folder) => existsSync(folder));
  if (npm === undefined) throw new Error(`no npm found beside ${process.execPath}`);
  const nodeRoot = path.join(dir, 'node-root');
  run('debootstrap', [
    '--variant=minbase',
    '--include=ca-certificates,python3,make,g++',
    'bookworm',
    nodeRoot,
    'http://deb.debian.org/debian',
  ]);
  cpSync(process.execPath, path.join(nodeRoot, 'usr/bin/node'));
  cpSync(npm, path.join(nodeRoot, 'usr/lib/node_modules/npm'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  run('ln', ['-sf', '../lib/node_modules/npm/bin/npm-cli.js', path.join(nodeRoot, 'usr/bin/npm')]);
  run('ln', ['-sf', '../lib/node_modules/npm/bin/npx-cli.js', path.join(nodeRoot, 'usr/bin/npx')]);
  const headers = path.join(prefix, 'include/node');
  if (existsSync(headers))
    cpSync(headers, path.join(nodeRoot, 'usr/include/node'), { recursive: true });
  run('sh', [
    '-c',
    `cp -L /etc/ssl/certs/ca-certificates.crt '${nodeRoot}/etc/ssl/certs/ca-certificates.crt'`,
  ]);
  importImage(
    nodeRoot,
    nodeImage,
    ['ENV npm_config_nodedir=/usr', 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'],
    env,
  );

  const natsRoot = path.join(dir, 'nats-root');
  const natsServer = run('sh', ['-c', 'PATH=$PATH:/usr/sbin command -v nats-server']).trim();
  mkdirSync(path.join(natsRoot, 'tmp'), { recursive: true });
  const libraries =
    spawnSync('ldd', [natsServer], { encoding: 'utf8' }).stdout.match(/\/\S+/g) ?? [];
  for (const file of [natsServer, ...libraries]) {
    mkdirSync(path.join(natsRoot, path.dirname(file)), { recursive: true });
    run('cp', ['-L', file, path.join(natsRoot, file)]);
  }
  importImage(natsRoot, natsImage, [`ENTRYPOINT ["${natsServer}"]`], env);
}

function importImage(
  folder: string,
  name: string,
  changes: readonly string[],
  env: NodeJS.ProcessEnv,
): void {
  const flags = changes.map((change) => `--change '${change}'`).join(' ');
  run('sh', ['-c', `tar -C '${folder}' -c . | docker import ${flags} - ${name}`], env);
  rmSync(folder, { recursive: true, force: true });
}

async function readiness(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${String(port)}/readyz`);
  const body = await response.text();
  if (!response.ok) throw new Error(`/readyz answered ${String(response.status)}: ${body}`);
  return body;
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error('this check starts a Docker engine and containerd: run it as root');
  ensurePrograms();
  ensurePrograms(
    [
      { find: 'dockerd', packages: ['docker.io'] },
      { find: 'docker-compose', packages: ['docker-compose'] },
      { find: 'debootstrap', packages: ['debootstrap'] },
    ],
    'for the check of the container images',
  );
  const dir = mkdtempSync(path.join(tmpdir(), 'stowage-compose-'));
  const undo: (() => Promise<void> | void)[] = [
    () => rmSync(dir, { recursive: true, force: true }),
  ];
  try {
    say('starting a Docker engine and containerd');
    mkdirSync(path.join(dir, 'engine'));
    const engine = await startEngine(path.join(dir, 'engine'));
    undo.push(() => engine.stop());
    const stack = await startStack({ nats: false });
    undo.push(() => stack.down());

    const pullable =
      !process.argv.includes('--local-base') &&
      spawnSync('docker', ['pull', '-q', nodeImage], { env: engine.env, timeout: 120_000 })
        .status === 0;
    if (!pullable) {
      say(`making the base images ${nodeImage} and ${natsImage} from Debian packages`);
      makeBaseImages(dir, engine.env);
    }

    const ports = Object.fromEntries(
      await Promise.all(
        services.map(async ({ portVariable }) => [portVariable, String(await freePort())] as const),
      ),
    );
    const natsPort = await freePort();
    const natsPassword = randomBytes(24).toString('hex');
    const runDir = path.join(dir, 'run');
    const podLogs = path.join(dir, 'pod-logs');
    mkdirSync(runDir);
    const env = {
      ...engine.env,
      ...ports,
      NATS_PORT: String(natsPort),
      NATS_PASSWORD: natsPassword,
      BUILD_NETWORK: 'host',
      COMPOSE_PROJECT_NAME: 'stowagecheck',
      STOWAGE_NODE_NAME: 'compose-check',
      STOWAGE_RUN_DIR: runDir,
      CONTAINERD_RUN_DIR: path.dirname(stack.containerd.socket),
      CONTAINERD_ROOT: stack.containerd.root,
      DOCKER_CONFIG_DIR: path.join(dir, 'docker'),
      COMPOSE_PROFILES: 'docker',
      DOCKER_SOCKET: engine.socket,
      DOCKER_ROOT: engine.dataRoot,
      POD_LOGS_DIR: podLogs,
      SECCOMP_DIR: path.join(dir, 'seccomp'),
      // It goes on with nothing said to it, as a pause image does.
      SANDBOX_IMAGE: natsImage,
      // The machine's root may not be allowed to lower it.
      RESTRICT_OOM_SCORE_ADJ: 'true',
    };
    mkdirSync(env.DOCKER_CONFIG_DIR);
    writeFileSync(path.join(env.DOCKER_CONFIG_DIR, 'config.json'), '{}', { mode: 0o600 });
    say('docker-compose build');
    run('docker-compose', ['build'], env);
    say('docker-compose up');
    undo.push(() => void run('docker-compose', ['down', '--volumes', '--timeout', '10'], env));
    run('docker-compose', ['up', '-d', '--no-build'], env);
    try {
      for (const { name, portVariable } of services) {
        const body = await eventually(() => readiness(Number(ports[portVariable])), {
          timeoutMs: 60_000,
        });
        say(`${name} is ready: ${body.trim().replaceAll('\n', ' ')}`);
      }
      const events = await subscribeEvents(`nats://127.0.0.1:${String(natsPort)}`, {
        user: 'stowage',
        pass: natsPassword,
      });
      undo.push(() => events.close());
      const image = await stack.pushImage({ name: 'compose/app', tag: '1', sizeMb: 4 });
      const client = connectImageService({ endpoint: `unix://${path.join(runDir, 'image.sock')}` });
      undo.push(() => client.close());
      const { imageRef } = await client.pullImage({ image: { image: image.reference } });
      say(`pulled ${image.reference} through the container: ${imageRef}`);
      const pulled = await events.waitFor('ImagePulled', () => true, { timeoutMs: 30_000 });
      say(`event received: ${pulled.name} from ${pulled.source}`);
      const socket = path.join(runDir, 'docker-shim.sock');
      say('a pod through docker-shim');
      for (const seen of await checkPod({ socket, podLogs, image: nodeImage })) say(`  ${seen}`);
      for (const { name } of services) {
        const id = run('docker-compose', ['ps', '-q', name], env).trim();
        const bytes = run(
          'docker',
          ['image', 'inspect', '-f', '{{.Size}}', `stowage/${name}`],
          env,
        ).trim();
        run('docker-compose', ['stop', '--timeout', '15', name], env);
        const code = run('docker', ['inspect', '-f', '{{.State.ExitCode}}', id], env).trim();
        if (code !== '0') throw new Error(`${name} ended with exit code ${code} after SIGTERM`);
        say(
          `${name}: image of ${String(Math.round(Number(bytes) / 1e6))} MB, ended with exit code 0 after SIGTERM`,
        );
      }
    } catch (error) {
      say(run('docker-compose', ['logs', '--no-color', '--tail', '40'], env));
      throw error;
    }
    say('compose check passed');
  } finally {
    for (const step of undo.reverse())
      await Promise.resolve(step()).catch((error: unknown) => say(`clean-up: ${String(error)}`));
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
