import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import {
  eventually,
  runApp,
  ServiceFixture,
  type AppProcess,
  type PushedImage,
  type RunningPod,
} from '@stowage/testing';

/**
 * The life of a private image, as whoever is on call reads it: pulled with a credential, used by a
 * pod, collected by a plan, back again. Nothing that anybody can read of it has a secret in it.
 */

const node = 'node-1.example';
const apps = ['runtime-gateway', 'image-service', 'gc-worker'] as const;
/** Of this test's own, each in a place where services come across it. */
const secrets = {
  natsPassword: 'of-nats-8c1d77',
  environment: 'of-the-environment-51fe0b',
  commandLine: 'of-the-command-line-9ab3c4',
};

let fixture: ServiceFixture;
let sockets: string;
let image: PushedImage;
let pod: RunningPod | undefined;
const services = new Map<string, AppProcess>();
/** Everything that the tool printed. */
let printed = '';

const natsUrl = (): string =>
  fixture.stack.nats.url.replace('nats://', `nats://ann:${secrets.natsPassword}@`);
const ways = {
  local: () => ['--sockets', sockets],
  fleet: () => ['--all', '--server', natsUrl()],
};

async function stowctl(way: keyof typeof ways | undefined, ...args: string[]) {
  const all = [...args, ...(way === undefined ? [] : ways[way]())];
  const env = {
    HOME: fixture.stack.dir,
    STOWCTL_CONTEXTS: path.join(fixture.stack.dir, 'contexts.yaml'),
  };
  const ran = await runApp('stowctl', { args: all, env });
  printed += ran.stdout + ran.stderr;
  return ran;
}

/** Waits until both ways say it of the image. */
async function tells(what: RegExp): Promise<void> {
  for (const way of ['local', 'fleet'] as const) {
    let stdout = '';
    await eventually(
      async () => {
        ({ stdout } = await stowctl(way, 'why', image.reference));
        return what.test(stdout);
      },
      { what: `${way}: ${what}` },
    ).catch(() => undefined);
    expect(stdout).toMatch(what);
  }
}

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node, filesystemMb: 400 });
  const { stack } = fixture;
  sockets = path.join(stack.dir, 'run');
  mkdirSync(sockets);
  const dockerConfig = mkdtempSync(path.join(stack.dir, 'docker-'));
  const { host, username, password } = stack.registry.auth;
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  writeFileSync(
    path.join(dockerConfig, 'config.json'),
    JSON.stringify({ auths: { [host]: { auth } } }),
  );
  writeFileSync(
    path.join(stack.dir, 'contexts.yaml'),
    `contexts:\n  lab: { servers: ['${natsUrl()}'], nodes: [${node}] }\n`,
    { mode: 0o600 },
  );
  image = await stack.pushImage({
    ...{ name: 'team/private', tag: '1', to: 'auth', sizeMb: 5 },
    env: [`TOKEN=${secrets.environment}`],
  });
  for (const app of apps) {
    const service = await fixture.start(app, {
      STOWAGE_NATS_SERVERS: natsUrl(),
      STOWAGE_COMMAND_SOCKET: path.join(sockets, `${app}.cmd.sock`),
      ...(app === 'gc-worker'
        ? {
            STOWAGE_IMAGE_MINIMUM_GC_AGE: '0s',
            STOWAGE_DETECTION_INTERVAL: '1s',
            // The pod is removed beside the gateway.
            STOWAGE_LOST_CONTAINER_WAIT: '1s',
          }
        : { STOWAGE_LISTEN: path.join(stack.dir, `${app}.sock`) }),
      ...(app === 'runtime-gateway' && {
        ...{ STOWAGE_LISTEN_READONLY: '', STOWAGE_RELIST_INTERVAL: '1s' },
      }),
      ...(app === 'image-service' && { STOWAGE_DOCKER_CONFIG_DIRS: dockerConfig }),
    });
    services.set(app, service);
  }
});

afterAll(async () => {
  await pod?.remove();
  await fixture.down();
});

it('pulled with which credential', async () => {
  expect((await stowctl('local', 'ensure', image.reference)).code).toBe(0);
  await tells(
    /ImagePulled +pulled \S+team\/private:1, .* with the credential from [\w-]+.* \(sha256 [0-9a-f]{12}\)/,
  );
});

it('used by what', async () => {
  const { auth } = fixture.stack.registry;
  pod = await fixture.stack.runPod({
    ...{ image: image.reference, name: 'web-0', auth },
    command: ['/bin/sh', '-c', `sleep 600; echo ${secrets.commandLine}`],
  });
  await tells(
    /ContainerStarted +container main of pod default\/web-0 started, image \S+team\/private:1/,
  );
  await tells(/Now\n.*\n.*team\/private:1 .* keep: in-use +.*web-0/);
  await pod.remove();
});

it('collected by which rule and plan, and back again', async () => {
  const { planId } = await eventually(async () => {
    const { stdout } = await stowctl('local', 'plan', '--bytes', '1Ti', '-o', 'json');
    const [plan] = JSON.parse(stdout) as [
      { planId: string; images: { imageId: string; verdict: string }[] },
    ];
    const own = plan.images.find(({ imageId }) => imageId === image.imageId);
    return own?.verdict === 'remove' ? plan : undefined;
  });
  expect((await stowctl('local', 'gc', 'run', '--plan', planId)).code).toBe(0);
  await tells(
    new RegExp(
      `it is not there[^]*ImageRemoved +gc-worker removed \\S+team/private:1 \\(request\\), ${planId}`,
    ),
  );
  expect((await stowctl('local', 'ensure', image.reference)).code).toBe(0);
  await tells(
    new RegExp(
      `Now\\n[^]*team/private:1[^]*ImageDetected .*it is back \\d+\\w+ after ${planId} removed it`,
    ),
  );
});

it('no secret in what anybody can read: output, log, metrics, pages, events, files', async () => {
  const reading = [
    ...['status', 'nodes', 'images', 'plan --bytes 1Gi --kept', 'pulls --recent', 'pods --ended'],
    ...['events --since 1h', `why ${image.reference}`, 'doctor --kubelet-dir /nonexistent'],
    'check --format json --kubelet-dir /nonexistent',
  ];
  const here = ['config diff', 'config explain natsServers'];
  for (const line of reading) {
    const args = [...line.split(' '), '-o'];
    const ran = await Promise.all([
      stowctl('local', ...args, 'wide'),
      stowctl('fleet', ...args, 'json'),
    ]);
    expect([line, ran.map(({ stdout }) => stdout === '')]).toEqual([line, [false, false]]);
  }
  for (const format of ['wide', 'json']) {
    for (const line of here) {
      const args = [...line.split(' '), '-o', format, '--sockets', sockets];
      expect((await stowctl(undefined, ...args)).stdout).toContain('natsServers');
    }
    const contexts = await stowctl(undefined, 'context', 'list', '-o', format);
    expect(contexts.stdout).toContain('lab');
  }
  // A login that is refused, a server that is away, a pull that fails.
  const away = `nats://ann:${secrets.natsPassword}@127.0.0.1:1`;
  const { stderr } = await stowctl(undefined, 'nodes', '--all', '--server', away);
  expect(stderr).toMatch(/NATS at .*127\.0\.0\.1:1 is not reached/);
  await stowctl(undefined, 'doctor', '--all', '--server', away);
  expect((await stowctl('local', 'ensure', `${image.reference}-none`)).code).toBe(1);

  const readable = new Map([['stowctl', printed]]);
  for (const [app, service] of services) {
    readable.set(`log of ${app}`, service.stdout + service.stderr);
    for (const page of ['/', '/metrics', '/readyz', '/healthz']) {
      readable.set(`${app} ${page}`, (await service.get(page)).body);
    }
    const folder = path.join(fixture.stack.dir, app);
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      const file = path.join(folder, name);
      if (statSync(file).isFile()) readable.set(file, readFileSync(file, 'latin1'));
    }
  }
  readable.set('events', JSON.stringify(fixture.events.all));
  expect(readable.size).toBeGreaterThan(20);

  const { username, password } = fixture.stack.registry.auth;
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  const all = [...Object.values(secrets), password, auth];
  const found = [...readable].flatMap(([where, text]) =>
    all.filter((secret) => text.includes(secret)).map((secret) => [where, secret]),
  );
  expect(found).toEqual([]);
});
