/**
 * Builds the container images and starts docker-compose.yml once on a real Docker engine of its
 * own, against a real containerd, and watches a pull through image-service arrive as an event in
 * JetStream. docker-shim, of the profile docker, runs a pod on the engine that it lives on;
 * Prometheus, of the profile monitoring, scrapes the services.
 *
 *   sudo npm run compose:check
 *
 * Needs root, a Debian or Ubuntu machine and npm's registry. The base images are made of this
 * machine's files, under the names that Dockerfile and compose file have.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectImageService } from '@stowage/cri-client';
import {
  eventuallyPasses,
  freePort,
  startStack,
  subscribeEvents,
  type Stack,
} from '@stowage/testing';
import { ensurePrograms } from './bootstrap.mjs';
import { baseImages, makeBaseImages } from './compose-check/base-images';
import { checkImage, checkOtherProcessor } from './compose-check/images';
import { checkPod } from './compose-check/pod';
import { run, say, type Environment } from './compose-check/run';

const services = [
  { name: 'runtime-gateway', portVariable: 'GATEWAY_HTTP_PORT' },
  { name: 'image-service', portVariable: 'IMAGE_HTTP_PORT' },
  { name: 'gc-worker', portVariable: 'GC_HTTP_PORT' },
  { name: 'docker-shim', portVariable: 'SHIM_HTTP_PORT' },
] as const;

const nodeName = 'compose-check';

/** Of the networks of compose. */
const networks = '10.220.0.0/16';

/** What runs, and how it is reached. */
interface Project {
  readonly env: Environment;
  /** Of HTTP, as host and port, by service. */
  readonly addresses: Readonly<Record<string, string>>;
  readonly prometheusPort: number;
  readonly natsUrl: string;
  readonly natsPassword: string;
  readonly runDir: string;
  readonly podLogs: string;
}

/** Takes steps back, the last one first. */
class Undo {
  readonly #steps: (() => Promise<void> | void)[] = [];

  add(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  async all(): Promise<void> {
    for (const step of this.#steps.toReversed()) {
      await Promise.resolve()
        .then(step)
        .catch((error: unknown) => say(`clean-up: ${String(error)}`));
    }
  }
}

/** A Docker engine of its own, and how docker finds it. */
async function startEngine(dir: string, undo: Undo): Promise<{ engine: Stack; env: Environment }> {
  const engine = await startStack({
    docker: { started: false },
    registries: false,
    nats: false,
  });
  undo.add(() => engine.down());
  engine.docker.configure({ 'default-address-pools': [{ base: networks, size: 24 }] });
  await engine.docker.start();
  // The engine of tests leaves the packet filter alone, which may drop what passes a bridge.
  const rule = ['FORWARD', '-s', networks, '-d', networks, '-j', 'ACCEPT'];
  run('iptables', ['-w', '-I', ...rule]);
  undo.add(() => void run('iptables', ['-w', '-D', ...rule]));
  const env = {
    ...process.env,
    PATH: `/usr/bin:${process.env.PATH ?? ''}`,
    DOCKER_HOST: engine.docker.endpoint,
    DOCKER_CONFIG: path.join(dir, 'docker-config'),
    DOCKER_BUILDKIT: '1',
    COMPOSE_DOCKER_CLI_BUILD: '1',
  };
  return { engine, env };
}

/** Everything that the compose file takes from its environment. */
async function projectOf(dir: string, runtime: Stack, engine: Stack, env: Environment) {
  const ports: Record<string, number> = {};
  for (const { name } of services) ports[name] = await freePort();
  // Where Prometheus in its container finds what is on the network of the host.
  const gateway = '{{(index .IPAM.Config 0).Gateway}}';
  const bridge = run('docker', ['network', 'inspect', '-f', gateway, 'bridge'], env).trim();
  const shimTargets = path.join(dir, 'docker-shim.yml');
  const targets = [`host.docker.internal:${String(ports['docker-shim'])}`];
  writeFileSync(shimTargets, JSON.stringify([{ targets, labels: { node: nodeName } }]));
  const [natsPort, prometheusPort] = [await freePort(), await freePort()];
  const natsPassword = randomBytes(24).toString('hex');
  const [runDir, podLogs] = [path.join(dir, 'run'), path.join(dir, 'pod-logs')];
  // Sockets of commands, also of a service that is not root.
  mkdirSync(runDir);
  chmodSync(runDir, 0o775);
  const dockerConfig = path.join(dir, 'docker');
  mkdirSync(dockerConfig);
  writeFileSync(path.join(dockerConfig, 'config.json'), '{}', { mode: 0o600 });
  const { containerd } = runtime;
  // As containerd's own packages have it; the folder of a test is closed to others.
  chmodSync(path.dirname(containerd.socket), 0o711);
  const project: Project = {
    addresses: Object.fromEntries(
      services.map(({ name }) => [
        name,
        `${name === 'docker-shim' ? bridge : '127.0.0.1'}:${String(ports[name])}`,
      ]),
    ),
    prometheusPort,
    natsPassword,
    natsUrl: `nats://127.0.0.1:${String(natsPort)}`,
    runDir,
    podLogs,
    env: {
      ...env,
      ...Object.fromEntries(
        services.map(({ name, portVariable }) => [portVariable, String(ports[name])]),
      ),
      NATS_PORT: String(natsPort),
      NATS_PASSWORD: natsPassword,
      PROMETHEUS_PORT: String(prometheusPort),
      SHIM_HTTP_HOST: bridge,
      SHIM_TARGETS: shimTargets,
      BUILD_NETWORK: 'host',
      COMPOSE_PROJECT_NAME: 'stowagecheck',
      STOWAGE_NODE_NAME: nodeName,
      STOWAGE_RUN_DIR: runDir,
      CONTAINERD_RUN_DIR: path.dirname(containerd.socket),
      CONTAINERD_ROOT: containerd.root,
      DOCKER_CONFIG_DIR: dockerConfig,
      COMPOSE_PROFILES: 'docker',
      DOCKER_SOCKET: engine.docker.socket,
      DOCKER_ROOT: engine.docker.root,
      POD_LOGS_DIR: podLogs,
      SECCOMP_DIR: path.join(dir, 'seccomp'),
      // It goes on with nothing said to it, as a pause image does.
      SANDBOX_IMAGE: baseImages.nats,
      // The machine's root may not be allowed to lower it.
      RESTRICT_OOM_SCORE_ADJ: 'true',
      COMPOSE_FILE: 'docker-compose.yml:deploy/compose/gc-worker-as-user.yml',
    },
  };
  return project;
}

/** Of /readyz. */
interface Readiness {
  readonly status: string;
  readonly message?: string;
}

const fetchText = async (address: string | undefined, page: string): Promise<string> => {
  const response = await fetch(`http://${String(address)}${page}`);
  const body = await response.text();
  if (!response.ok) throw new Error(`${page} answered ${String(response.status)}: ${body}`);
  return body;
};

/** Each service is ready, and shows its page. */
async function checkServices({ env, addresses, runDir }: Project): Promise<void> {
  for (const { name } of services) {
    await eventuallyPasses(
      async () => {
        const { status, message } = JSON.parse(
          await fetchText(addresses[name], '/readyz'),
        ) as Readiness;
        if (status !== 'ok') throw new Error(`${name} is ${status}: ${message ?? ''}`);
      },
      { timeoutMs: 60_000 },
    );
    say(`${name} is ready`);
    const page = await fetchText(addresses[name], '/');
    if (!page.includes(`<h1>${name} on ${nodeName}</h1>`)) throw new Error(`${name}: ${page}`);
    const id = run('docker-compose', ['ps', '-q', name], env).trim();
    const format = '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.State.Health}}';
    const facts = run('docker', ['inspect', '-f', format, id], env).trim();
    const user = name === 'gc-worker' ? '65532:0' : '';
    const expected = `${user} ${String(name !== 'docker-shim')} <nil>`.trim();
    if (facts !== expected) throw new Error(`${name} runs as: ${facts}`);
  }
  if (!existsSync(path.join(runDir, 'gc-worker.cmd.sock'))) {
    throw new Error('gc-worker has no socket for commands');
  }
}

/**
 * stowctl in a container sees the services that run as its user: gc-worker is another one's here,
 * and no container has the capability to pass over that.
 */
function checkStowctl({ env }: Project): void {
  const inService = ['exec', '-T', 'image-service', 'stowctl'];
  const isRefused = 'down .*only root and the user of \\S+ may use';
  const sees = (from: string, services: Readonly<Record<string, string>>) => {
    const shown = run('docker-compose', ['exec', '-T', from, 'stowctl', 'status'], env);
    for (const [name, state] of Object.entries(services)) {
      if (!new RegExp(`^${nodeName} +${name} +${state} `, 'm').test(shown)) throw new Error(shown);
    }
    say(`stowctl in ${from} sees the services of its user`);
  };
  sees('image-service', { 'runtime-gateway': 'ok', 'image-service': 'ok', 'gc-worker': isRefused });
  sees('gc-worker', {
    'runtime-gateway': isRefused,
    'image-service': isRefused,
    'gc-worker': 'ok',
  });
  const [key = ''] = run(
    'docker-compose',
    [...inService, 'config', 'explain', 'listen'],
    env,
  ).split('\n');
  say(`  and its configuration: ${key}`);
}

/** A pull through image-service arrives as an event, and its content store is seen. */
async function checkPull(project: Project, runtime: Stack, undo: Undo): Promise<void> {
  const { env, natsUrl, natsPassword, runDir } = project;
  const events = await subscribeEvents(natsUrl, { user: 'stowage', pass: natsPassword });
  undo.add(() => events.close());
  const image = await runtime.pushImage({ name: 'compose/app', tag: '1', sizeMb: 4 });
  const client = connectImageService({ endpoint: `unix://${path.join(runDir, 'image.sock')}` });
  undo.add(() => client.close());
  const { imageRef } = await client.pullImage({ image: { image: image.reference } });
  say(`pulled ${image.reference} through the container: ${imageRef}`);
  const pulled = await events.waitFor('ImagePulled', () => true, { timeoutMs: 30_000 });
  say(`event received: ${pulled.name} from ${pulled.source}`);
  const store = path.join(runtime.containerd.root, 'io.containerd.content.v1.content/blobs/sha256');
  const list = `process.stdout.write(String(require('fs').readdirSync(${JSON.stringify(store)}).length))`;
  const inService = ['exec', '-T', 'image-service', '/nodejs/bin/node', '-e', list];
  say(`image-service sees ${run('docker-compose', inService, env)} blobs of the content store`);
}

/** Prometheus of the profile monitoring finds the services, with the rules. */
async function checkMonitoring({ env, prometheusPort }: Project): Promise<void> {
  run('docker-compose', ['--profile', 'monitoring', 'up', '-d', '--no-build', 'prometheus'], env);
  const ask = async <T>(what: string): Promise<T> => {
    const text = await fetchText(`127.0.0.1:${String(prometheusPort)}`, `/api/v1/${what}`);
    return (JSON.parse(text) as { data: T }).data;
  };
  await eventuallyPasses(
    async () => {
      const { activeTargets } = await ask<{
        activeTargets: { scrapePool: string; health: string; lastError: string }[];
      }>('targets');
      const notUp = activeTargets.filter(({ health }) => health !== 'up');
      if (activeTargets.length < services.length || notUp.length > 0) {
        throw new Error(
          `${String(activeTargets.length)} targets of Prometheus: ${JSON.stringify(notUp)}`,
        );
      }
      say(`Prometheus scrapes ${activeTargets.map(({ scrapePool }) => scrapePool).join(', ')}`);
    },
    { timeoutMs: 60_000 },
  );
  const { groups } = await ask<{ groups: { rules: object[] }[] }>('rules');
  const count = groups.flatMap(({ rules }) => rules).length;
  if (count === 0) throw new Error('Prometheus has no rules');
  say(`Prometheus has ${String(count)} rules`);
}

/** SIGTERM ends each with exit code 0. */
function checkStops({ env }: Project): void {
  for (const { name } of services) {
    const id = run('docker-compose', ['ps', '-q', name], env).trim();
    run('docker-compose', ['stop', '--timeout', '15', name], env);
    const code = run('docker', ['inspect', '-f', '{{.State.ExitCode}}', id], env).trim();
    if (code !== '0') throw new Error(`${name} ended with exit code ${code} after SIGTERM`);
    say(`${name}: ended with exit code 0 after SIGTERM`);
  }
}

async function check(undo: Undo): Promise<void> {
  const dir = mkdtempSync(path.join(tmpdir(), 'stowage-compose-'));
  undo.add(() => rmSync(dir, { recursive: true, force: true }));
  const began = performance.now();
  const step = (what: string) =>
    say(`${String(Math.round((performance.now() - began) / 1000)).padStart(3)} s: ${what}`);
  step('starting a Docker engine and containerd');
  const { engine, env } = await startEngine(dir, undo);
  const runtime = await startStack({ nats: false });
  undo.add(() => runtime.down());
  step(`making ${Object.values(baseImages).join(', ')}`);
  await makeBaseImages(dir, env);
  const project = await projectOf(dir, runtime, engine, env);
  step('docker-compose build');
  run('docker-compose', ['build'], project.env);
  for (const { name } of services) say(checkImage(name, env));
  say(checkOtherProcessor(dir, env));
  step('docker-compose up');
  const down = ['--profile', 'monitoring', 'down', '--volumes', '--timeout', '10'];
  undo.add(() => void run('docker-compose', down, project.env));
  run('docker-compose', ['up', '-d', '--no-build'], project.env);
  try {
    await checkServices(project);
    checkStowctl(project);
    step('Prometheus');
    await checkMonitoring(project);
    step('a pull');
    await checkPull(project, runtime, undo);
    step('a pod through docker-shim');
    const socket = path.join(project.runDir, 'docker-shim.sock');
    const { podLogs } = project;
    for (const seen of await checkPod({ socket, podLogs, image: baseImages.node })) {
      say(`  ${seen}`);
    }
    checkStops(project);
  } catch (error) {
    say(run('docker-compose', ['logs', '--no-color', '--tail', '40'], project.env));
    throw error;
  }
  step('compose check passed');
}

async function main(): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error('this check starts a Docker engine and containerd: run it as root');
  ensurePrograms();
  ensurePrograms(
    [
      { find: 'docker-compose', packages: ['docker-compose'] },
      { find: 'prometheus', packages: ['prometheus'] },
    ],
    'for the check of the container images',
  );
  const undo = new Undo();
  try {
    await check(undo);
  } finally {
    await undo.all();
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
