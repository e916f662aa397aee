import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  copyWithVersion,
  eventually,
  runApp,
  ServiceFixture,
  testOn,
  TestNatsServer,
  type AppProcess,
} from '@stowage/testing';
import { catalogue, type FindingId } from '@stowage/status-view';
import { connect } from 'nats';

/** Each finding prepared for real, as far as one machine can have it. */

const node = 'node-1.example';
const program = path.resolve(__dirname, '../../../dist/apps/stowctl/main.js');
const onContainerd = testOn('containerd', 'CRI-O serves nothing but the CRI');

let fixture: ServiceFixture;
let sockets: string;
/** kubelet's folder: none. */
let noKubelet: string;
const cleanUps: (() => unknown)[] = [];
const running: AppProcess[] = [];

interface Found {
  readonly id: FindingId;
  readonly level: string;
  readonly subject: string;
  readonly problem: string;
  readonly remedy: string;
}

const socketOf = (app: string): string => path.join(sockets, `${app}.cmd.sock`);

/** A folder below the stack's. */
const folder = (name: string): string => mkdtempSync(path.join(fixture.stack.dir, `${name}-`));

async function doctor(
  more: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Found[]> {
  const args = ['doctor', '--sockets', sockets, '-o', 'json', '--kubelet-dir', noKubelet, ...more];
  const ran = await runApp('stowctl', { args, env: { HOME: fixture.stack.dir, ...env } });
  expect(ran.stderr).toBe('');
  const { findings } = JSON.parse(ran.stdout) as { findings: Found[] };
  expect(ran.code).toBe(findings.length === 0 ? 0 : 1);
  // Whatever is found, what to do is said.
  for (const { id, remedy } of findings) expect([id, remedy]).toEqual([id, catalogue[id].remedy]);
  return findings;
}

/** Waits until doctor finds what is expected; services notice some things only after a while. */
async function finds(
  expected: Partial<Found>,
  more: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<void> {
  let found: Found[] = [];
  try {
    await eventually(
      async () => {
        found = await doctor(more, env);
        return found.some((one) =>
          Object.entries(expected).every(([key, value]) => one[key as keyof Found] === value),
        );
      },
      { what: JSON.stringify(expected), timeoutMs: 30_000 },
    );
  } catch (error) {
    expect(found).toContainEqual(expect.objectContaining(expected));
    throw error;
  }
}

/** Where a service has its CRI socket; gc-worker has none. */
function listens(app: string): Record<string, string> {
  if (app === 'gc-worker') return {};
  const listen = { STOWAGE_LISTEN: path.join(fixture.stack.dir, `${app}.sock`) };
  return app === 'runtime-gateway' ? { ...listen, STOWAGE_LISTEN_READONLY: '' } : listen;
}

async function start(
  app: string,
  env: Record<string, string> = {},
  { program: other = app }: { program?: string } = {},
): Promise<AppProcess> {
  const service = await fixture.start(
    other,
    {
      STOWAGE_COMMAND_SOCKET: socketOf(app),
      STOWAGE_STATE_DIR: folder('state'),
      ...listens(app),
      ...env,
    },
    { ready: 'healthz' },
  );
  running.push(service);
  return service;
}

const startAll = async () => {
  for (const app of ['runtime-gateway', 'image-service', 'gc-worker']) await start(app);
};

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node, filesystemMb: 200 });
  sockets = folder('run');
  noKubelet = folder('kubelet');
});

afterEach(async () => {
  for (const service of running.splice(0)) await service.kill();
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

afterAll(() => fixture.down());

it('finds nothing where nothing is wrong, and check agrees', async () => {
  await startAll();
  await eventually(async () => (await doctor()).length === 0, { what: 'nothing to be wrong' });
  const args = ['check', '--sockets', sockets, '--kubelet-dir', noKubelet];
  const check = await runApp('stowctl', { args });
  expect([check.code, check.stdout]).toEqual([
    0,
    'STOWAGE OK - 1 nodes looked at | critical=0 warning=0\n',
  ]);
});

it('no service, and one that does not run', async () => {
  await finds({ id: 'services-absent', level: 'critical' });
  const args = ['check', '--sockets', sockets, '--kubelet-dir', noKubelet];
  const critical = await runApp('stowctl', { args });
  expect([critical.code, critical.stdout]).toEqual([
    2,
    // The runtime of this machine, which is looked for in its usual place, may be another one.
    expect.stringMatching(/^STOWAGE CRITICAL - .*services-absent.* \| critical=[12] warning=0\n/),
  ]);
  const read = await runApp('stowctl', { args: ['doctor', ...args.slice(1)] });
  expect([read.code, read.stdout]).toEqual([
    1,
    expect.stringMatching(
      /^LEVEL +NODE +FINDING +ABOUT +PROBLEM\n(?:.*\n)*critical .* services-absent [^]*WHAT TO DO\n[^]*^services-absent +start the services, or name/m,
    ),
  ]);
  await start('runtime-gateway');
  await start('image-service');
  await finds({ id: 'service-absent', subject: 'gc-worker', level: 'warning' });
  const nagios = await runApp('stowctl', { args });
  expect([nagios.code, nagios.stdout]).toEqual([
    1,
    expect.stringMatching(
      /^STOWAGE WARNING - node-1\.example: service-absent: gc-worker: .* \| critical=0 warning=1\n$/,
    ),
  ]);
  const prometheus = await runApp('stowctl', { args: [...args, '--format', 'prometheus'] });
  expect(prometheus.stdout).toMatch(/^stowage_check_state 1$/m);
  expect(prometheus.stdout).toMatch(
    /^stowage_check_finding\{finding="service-absent",level="warning",node="node-1\.example",subject="gc-worker"\} 1$/m,
  );
  const json = await runApp('stowctl', { args: [...args, '--format', 'json'] });
  expect(JSON.parse(json.stdout)).toMatchObject({
    state: 'WARNING',
    findings: [{ id: 'service-absent' }],
  });
});

it('check ends with 3 where nothing can be asked', async () => {
  const file = path.join(fixture.stack.dir, 'broken-contexts.yaml');
  writeFileSync(file, 'contexts: [');
  const ran = await runApp('stowctl', { args: ['check'], env: { STOWCTL_CONTEXTS: file } });
  expect([ran.code, ran.stdout]).toEqual([3, expect.stringMatching(/^STOWAGE UNKNOWN - .*YAML/)]);
});

it('another user may not ask', async () => {
  await start('gc-worker');
  execFileSync('chmod', ['-R', 'go+rx', fixture.stack.dir, sockets]);
  const findings = findingsOf(await asNobody(['doctor', '--sockets', sockets, '-o', 'json']));
  expect(findings).toContainEqual(
    expect.objectContaining({ id: 'service-not-permitted', subject: 'gc-worker' }),
  );
});

describe('the runtime', () => {
  const at = (file: string) => ({ STOWAGE_RUNTIME_ENDPOINT: `unix://${file}` });

  it('has no socket', async () => {
    await start('runtime-gateway', at(path.join(fixture.stack.dir, 'nowhere.sock')));
    await finds({ id: 'runtime-socket-missing', level: 'critical' });
  });

  it('left its socket behind', async () => {
    const stale = path.join(fixture.stack.dir, 'stale.sock');
    const listen = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', listen, stale]);
    await start('runtime-gateway', at(stale));
    await finds({ id: 'runtime-stale-socket', level: 'critical' });
  });

  it('has a socket that is mounted as a file, which a restart leaves behind', async () => {
    const { runtime } = fixture.stack;
    const mounted = path.join(fixture.stack.dir, 'mounted.sock');
    writeFileSync(mounted, '');
    execFileSync('mount', ['--bind', runtime.socket, mounted]);
    cleanUps.push(() => execFileSync('umount', ['-l', mounted]));
    await start('runtime-gateway', at(mounted));
    await finds({ id: 'service-absent', subject: 'gc-worker' });
    expect((await doctor()).map(({ id }) => id)).not.toContain('runtime-stale-socket');
    await runtime.restart();
    await finds({ id: 'runtime-stale-socket', subject: `unix://${mounted}`, level: 'critical' });
  });

  it('may not be asked', async () => {
    // As this user sees it: the services themselves run as root here.
    const ran = asNobody(['doctor', '--sockets', '/nonexistent', '-o', 'json'], {
      STOWAGE_RUNTIME_ENDPOINT: fixture.stack.runtime.endpoint,
    });
    expect(findingsOf(await ran)).toContainEqual(
      expect.objectContaining({ id: 'runtime-permission', level: 'critical' }),
    );
  });

  onContainerd('serves no CRI', async () => {
    const { containerd } = fixture.stack;
    await containerd.stop();
    containerd.serveCri(false);
    await containerd.start();
    cleanUps.push(async () => {
      containerd.serveCri(true);
      await containerd.restart();
    });
    await start('runtime-gateway');
    await finds({ id: 'runtime-without-cri', level: 'critical' });
  });
});

describe('file systems', () => {
  it('of a runtime that makes its content store for the first image', async () => {
    const store = path.join(fixture.stack.runtime.root, 'io.containerd.content.v1.content');
    if (existsSync(store)) {
      renameSync(store, `${store}.away`);
      cleanUps.push(() => renameSync(`${store}.away`, store));
    }
    await startAll();
    await eventually(async () => (await doctor()).length === 0, { what: 'nothing to be wrong' });
  });

  it('of images cannot be measured, the content store cannot be read', async () => {
    await start('gc-worker', { STOWAGE_HOST_ROOT: '/nonexistent' });
    await start('runtime-gateway');
    await start('image-service', { STOWAGE_CONTAINERD_CONTENT_DIR: '/nonexistent' });
    await finds({ id: 'image-filesystem-unseen', level: 'critical' });
    await finds({ id: 'content-store-unseen', level: 'warning' });
  });

  it('are full of other data', async () => {
    const foreign = path.join(fixture.stack.runtime.root, 'foreign');
    execFileSync('fallocate', ['-l', '165M', foreign]);
    cleanUps.push(() => rmSync(foreign));
    await start('gc-worker', { STOWAGE_DISK_CHECK_INTERVAL: '1s' });
    await finds({ id: 'disk-full-of-other-data', level: 'critical' });
  });

  it('of the state folder are full, and read-only', async () => {
    const state = folder('mounted');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'stowage-test', state]);
    cleanUps.push(() => execFileSync('umount', ['-l', state]));
    writeFileSync(path.join(state, 'filling'), '');
    await start('gc-worker', {
      STOWAGE_STATE_DIR: state,
      STOWAGE_DETECTION_INTERVAL: '1s',
      STOWAGE_NATS_SERVERS: 'nats://127.0.0.1:1',
    });
    spawnSync('dd', ['if=/dev/zero', `of=${path.join(state, 'filling')}`, 'bs=4k']);
    await fixture.stack.pullImage(
      (await fixture.stack.pushImage({ name: 'team/late', sizeMb: 5 })).reference,
    );
    await finds({ id: 'state-full', level: 'critical' });
    for (const service of running.splice(0)) await service.kill();
    execFileSync('mount', ['-o', 'remount,ro', state]);
    await start('gc-worker', { STOWAGE_STATE_DIR: state });
    await finds({ id: 'state-read-only', level: 'critical' });
  });

  it('a state folder is in use', async () => {
    const state = folder('shared');
    await start('gc-worker', { STOWAGE_STATE_DIR: state, STOWAGE_COMMAND_SOCKET: '' });
    await start('image-service');
    await finds({ id: 'state-in-use', subject: 'gc-worker' }, [], {
      STOWAGE_STATE_DIR: state,
    });
  });
});

describe('the configuration', () => {
  it('has a variable with a slip, and a pattern without an image', async () => {
    await start('gc-worker', {
      STOWAGE_IMAGE_GC_HIGH_TRESHOLD_PERCENT: '80',
      STOWAGE_EXEMPT_IMAGES: 'quay.io/base/**',
    });
    await finds({
      id: 'variable-misspelt',
      subject: 'STOWAGE_IMAGE_GC_HIGH_TRESHOLD_PERCENT',
      level: 'warning',
    });
    await finds({ id: 'exempt-unmatched', subject: 'quay.io/base/**' });
  });

  it('keeps a service from its start, without a secret in the finding', async () => {
    const env = {
      STOWAGE_NATS_SERVERS: 'nats://ann:hunter2@host:4222',
      STOWAGE_LOG_LEVEL: 'loud',
    };
    await finds({ id: 'configuration-wrong', subject: 'gc-worker' }, [], env);
    expect(JSON.stringify(await doctor([], env))).not.toContain('hunter2');
  });

  it('collects nothing by itself', async () => {
    await start('gc-worker', {
      STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '100',
      STOWAGE_INODES_HIGH_THRESHOLD_PERCENT: '100',
    });
    await finds({ id: 'collection-off' });
  });

  it('has the thresholds and not the name of kubelet', async () => {
    const kubelet = folder('kubelet');
    const pem = path.join(kubelet, 'pki/kubelet-client-current.pem');
    mkdirSync(path.dirname(pem));
    writeFileSync(path.join(kubelet, 'config.yaml'), 'imageGCHighThresholdPercent: 85\n');
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', '/dev/null', '-out', pem],
        ...['-days', '1', '-subj', '/O=system:nodes/CN=system:node:worker-7'],
      ],
      { stdio: 'ignore' },
    );
    await start('gc-worker');
    await finds({ id: 'kubelet-collects-too', level: 'warning' }, ['--kubelet-dir', kubelet]);
    await finds({ id: 'node-name-differs', level: 'warning' }, ['--kubelet-dir', kubelet]);
    writeFileSync(path.join(kubelet, 'config.yaml'), 'imageGCHighThresholdPercent: 100\n');
    const ids = (await doctor(['--kubelet-dir', kubelet])).map(({ id }) => id);
    expect(ids).not.toContain('kubelet-collects-too');
  });

  it('services are of different versions', async () => {
    const main = copyWithVersion('gc-worker', path.join(folder('other'), 'gc-worker'), '0.0.9');
    await start('runtime-gateway');
    await start('gc-worker', {}, { program: main });
    await finds({ id: 'versions-differ', subject: 'services' });
  });
});

describe('NATS', () => {
  const server = async (options: { jetStream?: boolean; config?: string } = {}) => {
    const started = await TestNatsServer.start(options);
    cleanUps.push(() => started.remove());
    return started;
  };
  const withLogin = (url: string, login: string) => url.replace('://', `://${login}@`);
  const users = (permissions: string) =>
    `authorization { users: [{ user: ann, password: right, permissions: ${permissions} }] }`;

  it('is away, by the services and by the server that is named', async () => {
    await start('gc-worker', { STOWAGE_NATS_SERVERS: 'nats://127.0.0.1:1' });
    await finds({ id: 'nats-away', subject: 'NATS of gc-worker' });
    await finds({ id: 'nats-away', subject: 'NATS' }, ['--server', 'nats://127.0.0.1:1']);
  });

  it('refuses the login', async () => {
    const { url } = await server({ config: users('{ publish: ">", subscribe: ">" }') });
    await start('gc-worker', { STOWAGE_NATS_SERVERS: withLogin(url, 'ann:wrong') });
    await finds({ id: 'nats-login', subject: 'NATS of gc-worker' });
    await finds({ id: 'nats-login', subject: 'NATS' }, ['--server', withLogin(url, 'ann:wrong')]);
  });

  it('has no permission for it', async () => {
    const { url } = await server({ config: users('{ publish: "x", subscribe: ">" }') });
    await finds({ id: 'nats-permission' }, ['--server', withLogin(url, 'ann:right')]);
    await start('gc-worker', { STOWAGE_NATS_SERVERS: withLogin(url, 'ann:right') });
    await finds({ id: 'nats-permission', subject: 'NATS of gc-worker', level: 'critical' });
  });

  it('has no JetStream', async () => {
    const { url } = await server({ jetStream: false });
    await start('gc-worker', { STOWAGE_NATS_SERVERS: url });
    await finds({ id: 'nats-no-jetstream', subject: 'NATS of gc-worker' });
    await finds({ id: 'nats-no-jetstream', subject: 'NATS' }, ['--server', url]);
  });

  it('has no stream, one with other subjects, and one with other limits', async () => {
    const { url } = await server();
    await finds({ id: 'stream-missing' }, ['--server', url]);
    const connection = await connect({ servers: url });
    cleanUps.push(() => connection.close());
    const { streams } = await connection.jetstreamManager();
    await streams.add({ name: 'STOWAGE_EVENTS', subjects: ['stowage.event.elsewhere.>'] });
    await finds({ id: 'stream-unfit', level: 'critical' }, ['--server', url]);
    await finds({ id: 'stream-settings', level: 'warning' }, ['--server', url]);
  });

  it('has another time', async () => {
    const shift = path.join(fixture.stack.dir, 'shift.js');
    writeFileSync(shift, 'const now = Date.now; Date.now = () => now() + 60_000;');
    await start('gc-worker');
    await finds({ id: 'clock-off' }, ['--server', fixture.stack.nats.url], {
      NODE_OPTIONS: `--require ${shift}`,
    });
  });
});

/**
 * Runs the tool as another user, without groups, with the services beside it, from a folder that
 * this user can read: the checkout may be in root's home.
 */
function asNobody(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowctl-'));
  chmodSync(folder, 0o755);
  const apps = path.resolve(program, '../..');
  cpSync(apps, folder, { recursive: true, filter: (file) => !file.endsWith('.map') });
  const copy = path.join(folder, path.relative(apps, program));
  const ids = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const child = spawn(
    'setpriv',
    [...ids, process.execPath, copy, ...args, '--kubelet-dir', '/nonexistent'],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env },
    },
  );
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  return new Promise((resolve) =>
    child.once('close', () => {
      rmSync(folder, { recursive: true, force: true });
      resolve(stdout);
    }),
  );
}

const findingsOf = (stdout: string): Found[] =>
  (JSON.parse(stdout) as { findings: Found[] }).findings;
