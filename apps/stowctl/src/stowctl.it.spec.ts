import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  eventually,
  runApp,
  ServiceFixture,
  TestNatsServer,
  type PushedImage,
} from '@stowage/testing';
import { parse } from 'yaml';

/** Every command on the real stack, as a user starts it. */

const node = 'node-1.example';
const program = path.resolve(__dirname, '../../../dist/apps/stowctl/main.js');

let fixture: ServiceFixture;
let sockets: string;
let app: PushedImage;
let old: PushedImage;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the tool to its end; variables of this process that begin with STOWAGE_ are not its own. */
async function stowctl(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const { code, stdout, stderr } = await runApp('stowctl', {
    args,
    env: { HOME: fixture.stack.dir, ...env },
  });
  return { code, stdout, stderr };
}

/** Through the sockets of the services. */
const local = (...args: string[]) => stowctl([...args, '--sockets', sockets]);

/** Over NATS. */
const remote = (...args: string[]) =>
  stowctl([...args, '--server', fixture.stack.nats.url, '--node', node]);

const ways: [string, typeof local][] = [
  ['local sockets', local],
  ['NATS', remote],
];

async function json<T>(run: Promise<Ran>): Promise<T> {
  const { code, stdout, stderr } = await run;
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as T;
}

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node, filesystemMb: 300 });
  const { stack } = fixture;
  sockets = path.join(stack.dir, 'run');
  mkdirSync(sockets);
  app = await stack.pushImage({ name: 'team/app', tag: '1', sizeMb: 6 });
  old = await stack.pushImage({ name: 'team/old', tag: '0.9', sizeMb: 5 });
  const socket = (name: string) => path.join(sockets, `${name}.cmd.sock`);
  await fixture.start('runtime-gateway', {
    STOWAGE_LISTEN: path.join(stack.dir, 'runtime.sock'),
    STOWAGE_LISTEN_READONLY: '',
    STOWAGE_COMMAND_SOCKET: socket('runtime-gateway'),
  });
  await fixture.start('image-service', {
    STOWAGE_LISTEN: path.join(stack.dir, 'image.sock'),
    STOWAGE_COMMAND_SOCKET: socket('image-service'),
    STOWAGE_IMAGE_PULL_PROGRESS_INTERVAL: '100ms',
  });
  await fixture.start('gc-worker', {
    STOWAGE_COMMAND_SOCKET: socket('gc-worker'),
    STOWAGE_IMAGE_MINIMUM_GC_AGE: '0s',
    STOWAGE_EXEMPT_IMAGES: 'quay.io/base/**',
    STOWAGE_DETECTION_INTERVAL: '1s',
    // Pods are removed beside the gateway.
    STOWAGE_LOST_CONTAINER_WAIT: '1s',
    STOWAGE_COMMANDS: 'plan,images,status',
  });
  await stack.pullImage(old.reference);
});

afterAll(() => fixture.down());

describe('without services', () => {
  it('the bundle holds no NestJS and no SQLite', () => {
    const meta = readFileSync(
      path.resolve(path.dirname(program), '../../stowctl.meta.json'),
      'utf8',
    );
    const inputs = Object.keys((JSON.parse(meta) as { inputs: object }).inputs);
    expect(inputs.filter((file) => /@nestjs|better-sqlite3|@grpc|prom-client/.test(file))).toEqual(
      [],
    );
    expect(inputs).toContain('apps/stowctl/src/run.ts');
  });

  it.each<[string[], number, RegExp]>([
    [['--version'], 0, /^stowctl \d+\.\d+\.\d+\n$/],
    [['--help'], 0, /usage: stowctl COMMAND/],
    [['why', '--help'], 0, /usage: stowctl why IMAGE/],
    [[], 64, /usage: stowctl COMMAND/],
    [['completion', 'bash'], 0, /complete -o default/],
    [['__complete', 'gc', ''], 0, /^run\n$/],
  ])('%j', async (args, code, text) => {
    const ran = await stowctl(args);
    expect([ran.code, ran.stderr]).toEqual([code, '']);
    expect(ran.stdout).toMatch(text);
  });

  it.each<[string[], number, string]>([
    [['stauts'], 64, 'stowctl: unknown command "stauts"\n  the nearest is: stowctl status\n'],
    [
      ['images', '--sotr', 'size'],
      64,
      'stowctl: unknown flag --sotr of images\n  the nearest is: --sort\n',
    ],
  ])('%j is refused with the nearest', async (args, code, stderr) => {
    expect(await stowctl(args)).toEqual({ code, stderr, stdout: '' });
  });

  it('a service that is not there says so, and what to do', async () => {
    const ran = await stowctl(['plan', '--sockets', '/nonexistent']);
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    expect(ran.stderr).toMatch(/there is no \/nonexistent\/runtime-gateway\.cmd\.sock/);
    expect(ran.stderr).toMatch(/--sockets/);
  });
});

describe.each(ways)('through %s', (_way, ask) => {
  it('status', async () => {
    const [one] = await json<[{ node: string; services: object[]; disks: object[] }]>(
      ask('status', '-o', 'json'),
    );
    expect(one).toMatchObject({
      node,
      services: ['runtime-gateway', 'image-service', 'gc-worker'].map((name) => ({
        app: name,
        state: 'ok',
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      })),
      disks: [{ mountpoint: expect.stringContaining(fixture.stack.runtime.root) }],
    });
    const { code, stdout } = await ask('status');
    expect(code).toBe(0);
    expect(stdout).toMatch(/NODE +SERVICE +STATE +VERSION +DETAIL/);
    expect(stdout).toContain('quay.io/base/**');
  });

  it('nodes', async () => {
    const { stdout } = await ask('nodes');
    expect(stdout).toMatch(new RegExp(`${node} +ok +3/3 +${fixture.stack.runtime.name} `));
  });

  it('images, one image, and one that is not there', async () => {
    await eventually(async () => (await ask('images')).stdout.includes('team/old:0.9'), {
      what: 'the image to be listed',
    });
    const [image] = await json<[object]>(
      ask(
        'images',
        'team/old:0.9'.replace(/^/, `${old.reference.split('/')[0] ?? ''}/`),
        '-o',
        'json',
      ),
    );
    expect(image).toMatchObject({ node, imageId: old.imageId, pinned: false });
    const missing = await ask('images', 'nowhere/none:1');
    expect(missing).toMatchObject({ code: 1, stdout: '' });
    expect(missing.stderr).toMatch(
      /^stowctl: there is no image "nowhere\/none:1" on node-1\.example\n/,
    );
  });

  it('images sorted and filtered, as YAML', async () => {
    const { code, stdout } = await ask('images', '--sort', 'size', '--unused', '-o', 'yaml');
    expect(code).toBe(0);
    const images = parse(stdout) as { sizeBytes: number }[];
    const sizes = images.map(({ sizeBytes }) => sizeBytes);
    expect(sizes.length).toBeGreaterThan(0);
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
  });

  it('images by who uses them, by pin and by verdict', async () => {
    const pod = await fixture.stack.runPod({ image: old.reference, name: 'web-7' });
    const listed = async (...flags: string[]) =>
      json<{ imageId: string; pinned: boolean; verdict: string; usedBy: string[] }[]>(
        ask('images', '-o', 'json', ...flags),
      );
    try {
      await eventually(async () =>
        (await listed('--verdict', 'keep')).some(({ imageId }) => imageId === old.imageId),
      );
      const [used] = await listed(old.reference);
      expect(used?.usedBy).toEqual([expect.stringContaining('web-7')]);
      expect((await ask('images', old.reference)).stdout).toMatch(/web-7.* keep: in-use/);
      const all = await listed();
      const kept = await listed('--verdict', 'keep');
      const gone = await listed('--verdict', 'remove');
      expect(kept.length + gone.length).toBe(all.length);
      expect(new Set(kept.map(({ verdict }) => verdict))).toEqual(new Set(['keep']));
      expect(gone.map(({ imageId }) => imageId)).not.toContain(old.imageId);
      expect((await listed('--unused')).map(({ imageId }) => imageId)).not.toContain(old.imageId);
      const pinned = await listed('--pinned');
      expect(pinned).toEqual(all.filter((image) => image.pinned));
      expect(pinned.length > 0).toBe(fixture.stack.runtime.reportsPinned);
    } finally {
      await pod.remove();
    }
  });

  it('plan', async () => {
    await eventually(
      async () => (await ask('plan', '--bytes', '1Gi')).stdout.includes('team/old'),
      {
        what: 'the image to be collectable',
      },
    );
    const { stdout } = await ask('plan', '--bytes', '1Gi', '--kept');
    expect(stdout).toMatch(/plan-\w+ \(request\) removes \d+ of \d+ images/);
    expect(stdout).toMatch(/remove: request/);
    expect(stdout).toMatch(/VERDICT +RULE +IMAGES +BYTES/);
    expect(stdout).toMatch(/to carry it out: stowctl gc run --plan plan-\w+/);
  });

  it('events, filtered and as lines of JSON', async () => {
    const { code, stdout } = await ask('events', '--type', 'imagedetected', '-o', 'json');
    expect(code).toBe(0);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string });
    expect(lines.length).toBeGreaterThan(0);
    expect(new Set(lines.map(({ name }) => name))).toEqual(new Set(['ImageDetected']));
    const wrong = await ask('events', '--type', 'ImageDetectet');
    expect([wrong.code, wrong.stderr]).toEqual([
      64,
      expect.stringMatching(/the nearest is ImageDetected;/),
    ]);
  });

  it('why', async () => {
    const { code, stdout } = await ask('why', old.reference);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Now\nNODE/);
    expect(stdout).toMatch(/ImageDetected +found .*team\/old:0\.9/);
    const unknown = await ask('why', 'nowhere/none:1');
    expect([unknown.code, unknown.stderr]).toEqual([
      1,
      expect.stringMatching(/there is no image "nowhere\/none:1" and no event about one/),
    ]);
  });

  it('ensure, and then it is there', async () => {
    const reference = app.reference;
    const first = await ask('ensure', reference, '--hold', '1m');
    expect([first.code, first.stdout]).toEqual([0, expect.stringContaining(`${node}: `)]);
    const second = await ask('ensure', reference);
    expect([second.code, second.stdout]).toEqual([
      0,
      expect.stringMatching(`^${node}: ${reference} is there, `),
    ]);
    const failed = await ask('ensure', reference.replace('team/app', 'team/none'));
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    // The runtime's own code; CRI-O has none for an image that is not there.
    const code = fixture.stack.runtime.name === 'containerd' ? 'NOT_FOUND' : 'UNKNOWN';
    expect(failed.stderr).toMatch(
      new RegExp(`image-service\\.ensure on .*: (${code}: |RESOURCE_EXHAUSTED: Back-off)`),
    );
  });

  it('pulls', async () => {
    const found = await json<{ reference: string; state: string }[]>(
      ask('pulls', '--recent', '-o', 'json'),
    );
    expect(found).toContainEqual(
      expect.objectContaining({ reference: app.reference, state: 'done' }),
    );
    expect((await ask('pulls')).stdout).toBe('nothing is being pulled\n');
    expect(await json(ask('pulls', '-o', 'json'))).toEqual([]);
  });

  it('pods', async () => {
    const pod = await fixture.stack.runPod({ image: app.reference });
    try {
      const { code, stdout } = await ask('pods', '-o', 'wide');
      expect(code).toBe(0);
      expect(stdout).toMatch(/running/);
    } finally {
      await pod.remove();
    }
  });

  it('a plan that is stale removes nothing', async () => {
    const { code, stderr } = await local('gc', 'run', '--plan', 'ffffffffffffffff');
    expect(code).toBe(1);
    expect(stderr).toMatch(/is not what a collection would do now/);
  });
});

it('gc run: refused over NATS, asked for without a terminal, and exact with --plan', async () => {
  const { planId } = (
    await json<[{ planId: string }]>(local('plan', '--bytes', '1Gi', '-o', 'json'))
  )[0];
  const refused = await remote('gc', 'run', '--yes');
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/PERMISSION_DENIED[^]*add "run" to the key commands of gc-worker/),
  ]);
  const unasked = await local('gc', 'run');
  expect([unasked.code, unasked.stderr]).toEqual([64, expect.stringMatching(/add --yes/)]);
  expect(planId).toMatch(/^plan-\w+$/);
  const ran = await local('gc', 'run', '--bytes', '1Gi', '--yes');
  expect(ran.stdout).toMatch(/removed \d+ of \d+ images/);
  expect(ran.stdout).toMatch(/team\/old:0\.9 +removed +request/);
  await eventually(
    async () => (await local('why', old.reference)).stdout.includes('ImageRemoved'),
    { what: 'the removal in the history' },
  );
  const { stdout } = await local('why', old.reference);
  expect(stdout).toMatch(/it is not there/);
  expect(stdout).toMatch(/gc-worker removed .*team\/old:0\.9 \(request\), plan-\w+/);
});

it('pause and resume', async () => {
  const paused = await local('pause', '30m', '--reason', 'a test');
  expect([paused.code, paused.stdout]).toEqual([
    0,
    expect.stringMatching(/^node-1\.example: no collection until 20/),
  ]);
  expect((await local('status')).stdout).toMatch(/paused until .*: a test/);
  expect((await local('gc', 'run', '--yes')).code).toBe(1);
  expect((await local('resume')).stdout).toBe(`${node}: collects again\n`);
  expect((await local('resume')).stdout).toBe(`${node}: there was no pause\n`);
  expect((await local('pause', '30m')).code).toBe(64);
});

it('hold and release', async () => {
  const { reference } = await fixture.stack.pushImage({ name: 'team/held', tag: '2' });
  await fixture.stack.pullImage(reference);
  const held = await local('hold', reference, '--for', '30m', '--reason', 'a test');
  expect([held.code, held.stdout]).toEqual([
    0,
    expect.stringMatching(/^node-1\.example: \S+team\/held:2 \(\w+\) is held until 20/),
  ]);
  expect((await local('images', reference, '-o', 'wide')).stdout).toMatch(
    /keep: held .*held until .*: a test/,
  );
  expect((await local('status')).stdout).toMatch(/1 images held/);
  const over = await remote('hold', reference);
  expect([over.code, over.stderr]).toEqual([
    1,
    expect.stringMatching(/add "hold" to the key commands of gc-worker/),
  ]);
  expect((await local('release', reference)).stdout).toBe(
    `${node}: ${reference} is no longer held\n`,
  );
  expect((await local('release', reference)).stdout).toMatch(/was not held\n$/);
  expect((await local('why', reference)).stdout).toMatch(/ImageReleased +\S+ is no longer held/);
  const missing = await local('hold', 'nowhere/none:1');
  expect([missing.code, missing.stderr]).toEqual([1, expect.stringMatching(/NOT_FOUND/)]);
  expect((await local('hold', reference, '--for', 'long')).code).toBe(64);
});

it('plan --assumed-age', async () => {
  const { stdout } = await local('plan', '--bytes', '1Gi', '--assumed-age', '7d', '--kept');
  expect(stdout).toMatch(/images that were there before count as 7d old/);
  const wrong = await local('plan', '--assumed-age', 'week');
  expect([wrong.code, wrong.stderr]).toEqual([64, expect.stringMatching(/write it as 12h or 7d/)]);
});

it('pulls --watch: a line for each step on a pipe, until it is interrupted', async () => {
  const child = spawn(process.execPath, [program, 'pulls', '--watch', '--sockets', sockets], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HOME: fixture.stack.dir },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let tag = 0;
  await eventually(
    async () => {
      tag += 1;
      const image = { name: 'team/watched', tag: String(tag), sizeMb: 40 };
      await local('ensure', (await fixture.stack.pushImage(image)).reference);
      return /team\/watched:\d+: ended/.test(stdout);
    },
    { what: 'the end of a pull to be shown' },
  );
  child.kill('SIGINT');
  expect([await ended, stderr]).toEqual([130, '']);
  expect((await local('pulls', '--watch', '--recent')).code).toBe(64);
});

it('two nodes, of which one is not there: the other is shown, and the code is 1', async () => {
  const ran = await stowctl([
    'plan',
    '--server',
    fixture.stack.nats.url,
    '--node',
    `${node},elsewhere`,
  ]);
  expect(ran.code).toBe(1);
  expect(ran.stdout).toContain(`${node}: `);
  expect(ran.stderr).toMatch(/gc-worker\.plan on elsewhere: nobody answers/);
});

it('--all finds nodes by service discovery where there is no stream, with their health', async () => {
  const server = await TestNatsServer.start();
  const other = await fixture.start(
    'image-service',
    {
      STOWAGE_NODE_NAME: 'node-2.example',
      STOWAGE_NATS_SERVERS: server.url,
      STOWAGE_STREAM_MANAGED: 'false',
      STOWAGE_STATE_DIR: path.join(fixture.stack.dir, 'node-2'),
      STOWAGE_LISTEN: path.join(fixture.stack.dir, 'node-2.sock'),
    },
    { ready: 'healthz' },
  );
  try {
    const ran = await eventually(async () => {
      const found = await stowctl(['pulls', '--all', '--server', server.url]);
      return found.code === 0 ? found : undefined;
    });
    expect(ran.stdout).toBe('nothing is being pulled\n');
    // Its event cannot leave without a stream, which no answer to a command shows.
    const there = ['--node', 'node-2.example', '--server', server.url];
    expect((await stowctl(['ensure', app.reference, ...there])).code).toBe(0);
    const status = async () => (await stowctl(['status', '--all', '--server', server.url])).stdout;
    await eventually(async () => / image-service +degraded +\d/.test(await status()));
    expect(await status()).toMatch(
      /^node-2\.example +image-service +degraded +\d+\.\d+\.\d+ +stowctl status on the node itself/m,
    );
    const doctor = await stowctl(['doctor', '--all', '--server', server.url, '-o', 'json']);
    const { findings } = JSON.parse(doctor.stdout) as { findings: object[] };
    expect(findings).toContainEqual(
      expect.objectContaining({
        ...{ id: 'service-degraded', node: 'node-2.example', subject: 'image-service' },
      }),
    );
  } finally {
    await other.stop();
    await server.remove();
  }
});

it('a fleet with a node that is away: the others are shown, and what it did is still known', async () => {
  const away = await fixture.start('image-service', {
    STOWAGE_NODE_NAME: 'node-3.example',
    STOWAGE_STATE_DIR: path.join(fixture.stack.dir, 'node-3'),
    STOWAGE_LISTEN: path.join(fixture.stack.dir, 'node-3.sock'),
  });
  const fleet = (...args: string[]) =>
    stowctl([...args, '--all', '--server', fixture.stack.nats.url]);
  // The second time it is there.
  for (let time = 0; time < 2; time += 1) {
    const args = ['ensure', app.reference, '--node', 'node-3.example'];
    const ensured = await stowctl([...args, '--server', fixture.stack.nats.url]);
    expect(ensured.code).toBe(0);
  }
  await fixture.events.waitFor('ImageEnsured', (event) => event.node === 'node-3.example');
  expect(await away.stop()).toBe(0);

  const nodes = await fleet('nodes');
  expect(nodes.stdout).toMatch(new RegExp(`^${node} +ok +3/3`, 'm'));
  expect(nodes.stdout).toMatch(/^node-3\.example +absent +0\/3 /m);
  const status = await fleet('status');
  expect(status.stdout).toMatch(/^node-3\.example +image-service +absent /m);
  expect(status.stdout).toMatch(new RegExp(`^${node} +gc-worker +ok `, 'm'));
  const images = await fleet('images');
  expect([images.code, images.stderr]).toEqual([
    1,
    expect.stringMatching(
      /image-service\.list on node-3\.example: nobody answers[^]*check that image-service runs there/,
    ),
  ]);
  expect(images.stdout).toMatch(new RegExp(`^${node} .*team/app:1`, 'm'));
  const plan = await fleet('plan', '--bytes', '1Gi', '-o', 'json');
  expect(plan.code).toBe(1);
  expect(JSON.parse(plan.stdout)).toEqual([expect.objectContaining({ node })]);
  const pulls = await fleet('pulls');
  expect(pulls).toEqual({
    ...{ code: 0, stdout: 'nothing is being pulled\n' },
    stderr: 'node-3.example: image-service does not answer; its pulls are shown by their events\n',
  });
  const events = await fleet('events', '--since', '1h');
  expect(events.stdout).toMatch(/ node-3\.example +ImageEnsured/);
  const why = await fleet('why', app.reference);
  expect(why.stdout).toMatch(new RegExp(`^Now\\n[^]*${node} +\\S+team/app:1 `));
  expect(why.stdout).toMatch(/History\n[^]* node-3\.example +ImageEnsured/);
  const doctor = await fleet('doctor');
  expect([doctor.code, doctor.stdout]).toEqual([
    1,
    expect.stringMatching(/critical +node-3\.example +services-absent/),
  ]);
});

it('--all finds the nodes by their events', async () => {
  const ran = await stowctl(['nodes', '--all', '--server', fixture.stack.nats.url, '-o', 'json']);
  expect(JSON.parse(ran.stdout)).toContainEqual(expect.objectContaining({ node, state: 'ok' }));
});

it('a context has server and nodes', async () => {
  const file = path.join(fixture.stack.dir, 'contexts.yaml');
  writeFileSync(
    file,
    `current: lab\ncontexts:\n  lab:\n    servers: ['${fixture.stack.nats.url}']\n    nodes: [${node}]\n`,
  );
  const env = { STOWCTL_CONTEXTS: file };
  expect((await stowctl(['nodes'], env)).stdout).toContain(node);
  expect((await stowctl(['context', 'list'], env)).stdout).toMatch(/\* +lab +nats:/);
  const wrong = await stowctl(['nodes', '--context', 'lba'], env);
  expect([wrong.code, wrong.stderr]).toEqual([64, expect.stringMatching(/the nearest is lab/)]);
});

it('a pipe that is closed ends the program quietly', async () => {
  const child = spawn(
    process.execPath,
    [program, 'events', '--follow', '--since', '1h', '--sockets', sockets],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: fixture.stack.dir } },
  );
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), ended]);
  child.stdout.destroy();
  // The next event is what it cannot write.
  await fixture.stack.pullImage(old.reference);
  expect(await ended).toBe(0);
  expect(stderr).toBe('');
});

it.each([
  ['a finite output', 'images -o json'],
  ['many lines', 'events --since 1h -o json'],
  ['the help', '--help'],
])('so does one that is closed in the middle of %s', (_what, line) => {
  const given = line === '--help' ? line : `${line} --sockets ${sockets}`;
  // The reader is gone before the program writes.
  const script = `${process.execPath} ${program} ${given} | exec true; echo "codes \${PIPESTATUS[*]}"`;
  const ran = spawnSync('bash', ['-c', script], {
    env: { ...process.env, HOME: fixture.stack.dir },
    encoding: 'utf8',
  });
  expect([ran.stdout, ran.stderr]).toEqual(['codes 0 0\n', '']);
});

it('events --follow shows what happens, until it is interrupted', async () => {
  const child = spawn(
    process.execPath,
    [
      program,
      'events',
      '--follow',
      '--type',
      'ImageEnsured',
      '--server',
      fixture.stack.nats.url,
      '--node',
      node,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: fixture.stack.dir } },
  );
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await eventually(
    async () => {
      await local('ensure', app.reference);
      return stdout.includes('ImageEnsured');
    },
    { what: 'the event to be shown' },
  );
  child.kill('SIGINT');
  expect([await ended, stderr]).toEqual([130, '']);
});

describe('configuration', () => {
  it('explain: meaning, value and origin of the running process', async () => {
    const found = await json<{ app: string; value: unknown; origin: string; source: string }[]>(
      stowctl(['config', 'explain', 'exemptimages', '--sockets', sockets, '-o', 'json']),
    );
    expect(found).toEqual([
      expect.objectContaining({
        app: 'gc-worker',
        env: 'STOWAGE_EXEMPT_IMAGES',
        value: ['quay.io/base/**'],
        origin: 'environment',
        source: expect.stringMatching(/^the running process \d+$/),
      }),
    ]);
    const wrong = await stowctl(['config', 'explain', 'exemptImage']);
    expect([wrong.code, wrong.stderr]).toEqual([
      64,
      expect.stringMatching(/nearest is exemptImages/),
    ]);
  });

  it('diff: what is not the default, and no secret', async () => {
    const { code, stdout } = await stowctl(['config', 'diff', '--sockets', sockets]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /gc-worker +exemptImages +\["quay\.io\/base\/\*\*"\] +\[\] +environment/,
    );
    expect(stdout).not.toMatch(/outboxMaxEvents/);
    const env = {
      STOWAGE_NATS_SERVERS: 'nats://ann:hunter2@h:4222',
      STOWAGE_IMAGE_GC_HIGH_TRESHOLD_PERCENT: '80',
    };
    const other = await stowctl(['config', 'diff', '--sockets', '/nonexistent'], env);
    expect(other.code).toBe(1);
    expect(other.stdout).toMatch(/natsServers/);
    expect(other.stdout).toMatch(/STOWAGE_IMAGE_GC_HIGH_TRESHOLD_PERCENT is not known/);
    expect(other.stdout + other.stderr).not.toContain('hunter2');
  });
});
