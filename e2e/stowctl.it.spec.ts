import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectRuntimeService } from '@stowage/cri-client';
import {
  eventually,
  runApp,
  ServiceFixture,
  Terminal,
  TestNatsServer,
  type PushedImage,
} from '@stowage/testing';
import { slowRegistry, type SlowRegistry } from './slow-registry';

/**
 * Every command of stowctl on the real services, as people start it: with its output in a pipe, and
 * what has a terminal's view on a terminal of two sizes.
 */

const node = 'node-1.example';
const program = path.resolve(__dirname, '../dist/apps/stowctl/main.js');
const cleanUps: (() => unknown)[] = [];

let fixture: ServiceFixture;
let sockets: string;
let registry: SlowRegistry;
let app: PushedImage;
let old: PushedImage;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function stowctl(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const ran = await runApp('stowctl', { args, env: { HOME: fixture.stack.dir, ...env } });
  return { code: ran.code, stdout: ran.stdout, stderr: ran.stderr };
}

const local = (...args: string[]) => stowctl([...args, '--sockets', sockets]);

/** Runs it to its good end, and returns what it printed. */
async function printed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await local(...args);
  expect([args, code, stderr]).toEqual([args, 0, '']);
  return stdout;
}

/** The same, until it has printed what is expected. */
async function prints(expected: RegExp, ...args: string[]): Promise<void> {
  let stdout = '';
  await eventually(
    async () => {
      stdout = await printed(...args);
      return expected.test(stdout);
    },
    { what: `${args.join(' ')} to print ${expected}` },
  ).catch(() => undefined);
  expect(stdout).toMatch(expected);
}

/** An image whose pull takes some seconds. */
async function slowImage(name: string): Promise<string> {
  const { reference } = await fixture.stack.pushImage({ name, tag: '1', sizeMb: 24 });
  return reference.replace(/^[^/]+/, registry.host);
}

/** The image that the case of `ensure` has pulled. */
const slow = (): string => `${registry.host}/team/slow:1`;

async function terminal(columns: number, rows: number): Promise<Terminal> {
  const env = { HOME: fixture.stack.dir, STOWCTL: `${process.execPath} ${program}` };
  const opened = await Terminal.open({ columns, rows, env });
  cleanUps.push(() => opened.close());
  return opened;
}

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node, filesystemMb: 500 });
  const { stack } = fixture;
  registry = await slowRegistry(stack.registry.open.url, 6_000_000);
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
    STOWAGE_IMAGE_PULL_PROGRESS_INTERVAL: '200ms',
  });
  await fixture.start('gc-worker', {
    STOWAGE_COMMAND_SOCKET: socket('gc-worker'),
    STOWAGE_IMAGE_MINIMUM_GC_AGE: '0s',
    STOWAGE_DETECTION_INTERVAL: '1s',
  });
  await stack.pullImage(old.reference);
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

afterAll(async () => {
  await registry.close();
  await fixture.down();
});

/** A case for each command; they run one after the other. */
const cases: Readonly<Record<string, () => Promise<void>>> = {
  status: async () => {
    const text = await printed('status');
    for (const name of ['runtime-gateway', 'image-service', 'gc-worker']) {
      expect(text).toMatch(new RegExp(`^${node} +${name} +ok +\\d`, 'm'));
    }
    expect(text).toMatch(/MARKS +TREND +FULL IN +IMAGES +CONTAINERS +OTHER/);
    expect(text).toMatch(/ 85 \/ 80 % /);
  },
  nodes: async () => {
    expect(await printed('nodes')).toMatch(new RegExp(`^${node} +ok +3/3 +containerd `, 'm'));
    const all = await stowctl(['nodes', '--all', '--server', fixture.stack.nats.url]);
    expect([all.code, all.stdout]).toEqual([0, expect.stringContaining(`${node} `)]);
  },
  images: async () => {
    await prints(/team\/old:0\.9 .* 5\.\d MiB /, 'images', '--sort', 'size', '--unused');
    const missing = await local('images', 'nowhere/none:1');
    expect([missing.code, missing.stdout]).toEqual([1, '']);
    expect(missing.stderr).toMatch(/^stowctl: there is no image "nowhere\/none:1"/);
  },
  ensure: async () => {
    // In a pipe one line a step, on a terminal a bar with speed and time left.
    const reference = await slowImage('team/slow');
    const first = await local('ensure', reference);
    expect([first.code, first.stdout]).toEqual([
      0,
      expect.stringMatching(`^${node}: pulled ${reference}, .*/s\\), id [0-9a-f]{12}\n$`),
    ]);
    expect(
      first.stderr.split('\n').filter((line) => / \d+ %, .*\/s/.test(line)).length,
    ).toBeGreaterThan(2);
    expect(first.stderr).not.toMatch(/[\r\u001b]/);
    for (const [columns, rows] of sizes) {
      const other = await slowImage(`team/slow-${columns}`);
      const shell = await terminal(columns, rows);
      await shell.run(`$STOWCTL ensure ${other} --sockets ${sockets}`);
      const lines = await shell.shows(/^\[#+\.+\] .*team\/slow-.*: \d+ %,/m);
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
      await shell.shows(/: pulled /);
    }
    const failed = await local('ensure', app.reference.replace('team/app', 'team/none'));
    expect([failed.code, failed.stdout]).toEqual([1, '']);
  },
  pulls: async () => {
    expect(await printed('pulls', '--recent')).toMatch(/team\/slow:1 +done +in \d+s/);
    const reference = await slowImage('team/slow-again');
    const pulled = local('ensure', reference);
    await prints(/team\/slow-again:1 +running +\[#+\.+\] \d+ %/, 'pulls');
    expect((await pulled).code).toBe(0);
  },
  pods: async () => {
    const pod = await fixture.stack.runPod({ image: old.reference, name: 'web-0' });
    try {
      await prints(/default +web-0 +\S+ +running +\S*team\/old:0\.9/, 'pods');
    } finally {
      await pod.remove();
    }
  },
  plan: async () => {
    await prints(/remove: request/, 'plan', '--bytes', '1Gi');
    expect(await printed('plan', '--bytes', '1Gi')).toMatch(/VERDICT +RULE +IMAGES +BYTES/);
  },
  hold: async () => {
    const held = await printed('hold', slow(), '--for', '30m', '--reason', 'a test');
    expect(held).toMatch(/team\/slow:1 \(\w+\) is held until 20/);
    const [{ images }] = JSON.parse(await printed('plan', '--bytes', '1Gi', '-o', 'json')) as [
      { images: { rule: string }[] },
    ];
    const planned = images.find((image) => JSON.stringify(image).includes('team/slow:1'));
    expect(planned).toMatchObject({ rule: 'held' });
    expect(JSON.stringify(planned)).toContain('a test');
    const none = await local('hold', app.reference.replace('team/app', 'team/none'));
    expect(none.code).toBe(1);
  },
  release: async () => {
    expect(await printed('release', slow())).toMatch(/team\/slow:1 is no longer held/);
    expect(await printed('release', slow())).toMatch(/team\/slow:1 was not held/);
  },
  pause: async () => {
    expect(await printed('pause', '30m', '--reason', 'a test')).toMatch(/no collection until 20/);
    const refused = await local('gc', 'run', '--yes');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/a test/)]);
  },
  resume: async () => {
    expect(await printed('resume')).toBe(`${node}: collects again\n`);
  },
  'gc run': async () => {
    const shell = await terminal(80, 24);
    await shell.run(`$STOWCTL gc run --bytes 1Gi --sockets ${sockets}`);
    await shell.shows(/remove them\? \[y\/N\]/);
    await shell.press('n', 'Enter');
    await shell.shows(/nothing was removed/);
    const gone = await local('gc', 'run', '--plan', 'plan-ffffffffffffffff');
    expect([gone.code, gone.stderr]).toEqual([1, expect.stringMatching(/is not what|is not one/)]);
    const [{ planId }] = JSON.parse(await printed('plan', '--bytes', '1Gi', '-o', 'json')) as [
      { planId: string },
    ];
    const ran = await printed('gc', 'run', '--plan', planId);
    expect(ran).toMatch(/team\/slow:1 +removed +request/);
  },
  events: async () => {
    await prints(/ImageRemoved {2}gc-worker removed .*team\/slow:1/, 'events', '--since', '10m');
    const text = await printed('events', '--type', 'CollectionPaused', '-o', 'json');
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { name: string }).name),
    ).toEqual(['CollectionPaused']);
    const shell = await terminal(80, 24);
    await shell.run(`$STOWCTL events --follow --sockets ${sockets}`);
    await local('ensure', await slowImage('team/followed'));
    await shell.shows(/ImagePulled/);
    expect(shell.output()).toMatch(/\u001b\[32mImagePulled\u001b\[0m/);
    await shell.press('C-c');
    await shell.run('echo code=$?');
    await shell.shows(/code=130/);
  },
  why: async () => {
    const text = await printed('why', `${registry.host}/team/slow:1`);
    expect(text).toMatch(/it is not there/);
    expect(text).toMatch(/ImagePulled +pulled .*team\/slow:1, .* with no credential/);
    expect(text).toMatch(/ImageRemoved +gc-worker removed .*team\/slow:1 \(request\), plan-\w+/);
    expect((await local('why', 'nowhere/none:1')).code).toBe(1);
  },
  top: async () => {
    const refused = await local('top');
    expect([refused.code, refused.stdout]).toEqual([64, '']);
    expect(refused.stderr).toMatch(/^stowctl: top needs a terminal, and stdin is none\n/);
    for (const [columns, rows] of sizes) await followsTop(columns, rows);
  },
  doctor: async () => {
    const noKubelet = ['--kubelet-dir', '/nonexistent'];
    expect(await printed('doctor', ...noKubelet)).toMatch(
      /nothing is wrong: 1 nodes looked at, 3 s/,
    );
    const away = await stowctl(['doctor', '--sockets', '/nonexistent', ...noKubelet]);
    expect([away.code, away.stdout]).toEqual([
      1,
      expect.stringMatching(/critical .*services-absent/),
    ]);
  },
  check: async () => {
    const noKubelet = ['--kubelet-dir', '/nonexistent'];
    expect(await printed('check', ...noKubelet)).toMatch(/^STOWAGE OK - /);
    expect(await printed('check', ...noKubelet, '--format', 'prometheus')).toMatch(
      /^stowage_check_state 0$/m,
    );
    expect(await printed('check', ...noKubelet, '--format', 'json')).toMatch(/"state": "OK"/);
    const away = await stowctl(['check', '--sockets', '/nonexistent', ...noKubelet]);
    expect([away.code, away.stdout]).toEqual([2, expect.stringMatching(/^STOWAGE CRITICAL - /)]);
  },
  'config explain': async () => {
    const text = await printed('config', 'explain', 'imageMinimumGCAge');
    expect(text).toMatch(/value +0, from environment \(the running process \d+\)/);
  },
  'config diff': async () => {
    expect(await printed('config', 'diff', '--app', 'gc-worker')).toMatch(
      /gc-worker +imageMinimumGCAge +0s? +2m/,
    );
  },
  'nats users': async () => {
    const { dir } = fixture.stack;
    const list = path.join(dir, 'node-names');
    const out = path.join(dir, 'nats-users');
    writeFileSync(list, 'worker-1.example\nworker-2.example\n');
    const made = await stowctl([
      'nats',
      'users',
      '--nodes-from',
      list,
      '--out',
      out,
      '--operator',
      'sre',
    ]);
    expect([made.code, made.stderr]).toEqual([0, '']);
    const server = await TestNatsServer.start({
      config: readFileSync(path.join(out, 'accounts.conf'), 'utf8'),
    });
    cleanUps.push(() => server.remove());
    const service = await fixture.start('image-service', {
      STOWAGE_NODE_NAME: 'worker-1.example',
      STOWAGE_NATS_SERVERS: server.url,
      STOWAGE_NATS_NKEY_SEED: path.join(out, 'nodes/worker-1.example.nk'),
      STOWAGE_STATE_DIR: path.join(dir, 'worker-1'),
      STOWAGE_LISTEN: path.join(dir, 'worker-1.sock'),
    });
    cleanUps.push(() => service.kill());
    const ensureAs = (key: string) =>
      stowctl([
        ...['ensure', app.reference, '--node', 'worker-1.example', '--timeout', '5s'],
        ...['--server', server.url, '--inbox-prefix', '_INBOX_sre', '--nkey', path.join(out, key)],
      ]);
    let answer: Ran | undefined;
    await eventually(async () => (answer = await ensureAs('operators/sre.nk')).code === 0, {
      what: 'the service to answer the operator',
    });
    expect(answer?.stdout).toMatch(/^worker-1\.example: /);
    // Below the subject of its node, an operator finds the service with version and health.
    const seen = await stowctl([
      ...['status', '--node', 'worker-1.example', '--server', server.url],
      ...['--inbox-prefix', '_INBOX_sre', '--nkey', path.join(out, 'operators/sre.nk')],
    ]);
    expect(seen.stdout).toMatch(/^worker-1\.example +image-service +\w+ +\d+\.\d+\.\d+ /m);
    // The key of another node is no operator's.
    const other = await ensureAs('nodes/worker-2.example.nk');
    expect([other.code, other.stdout]).toEqual([1, '']);
  },
  'context list': async () => {
    const { code, stdout } = await stowctl(['context', 'list'], contexts());
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^\* +lab +nats:.*\n +here +sockets/m),
    ]);
  },
  'context use': async () => {
    const env = contexts();
    expect((await stowctl(['context', 'use', 'here'], env)).code).toBe(0);
    expect((await stowctl(['nodes'], env)).stdout).toContain(`${node} `);
    const wrong = await stowctl(['context', 'use', 'hear'], env);
    expect([wrong.code, wrong.stderr]).toEqual([64, expect.stringMatching(/the nearest is here/)]);
  },
  completion: async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      expect((await stowctl(['completion', shell])).stdout).toContain('stowctl __complete');
    }
    // e2e/completion.it.spec.ts has the shells themselves complete with it.
  },
};

/** Terminals that views are tried on. */
const sizes = [
  [80, 24],
  [132, 43],
] as const;

function contexts(): Record<string, string> {
  const file = path.join(fixture.stack.dir, 'contexts.yaml');
  writeFileSync(
    file,
    [
      'current: lab',
      'contexts:',
      `  lab: { servers: ['${fixture.stack.nats.url}'], nodes: [${node}] }`,
      `  here: { sockets: '${sockets}' }`,
      '',
    ].join('\n'),
  );
  return { STOWCTL_CONTEXTS: file };
}

/** One life of `stowctl top`: on the small terminal through the sockets, on the large over NATS. */
async function followsTop(columns: number, rows: number): Promise<void> {
  const isSmall = columns === 80;
  const shell = await terminal(columns, rows);
  await shell.run('echo before');
  const reach = isSmall
    ? `--sockets ${sockets}`
    : `--server ${fixture.stack.nats.url} --node ${node}`;
  await shell.run(`${isSmall ? '' : 'NO_COLOR=1 '}$STOWCTL top ${reach}`);
  const lines = await shell.shows(/^ gc-worker {8}ok[^]*\n {2}\[[#+o]+[.|!]+\] /m);
  expect(lines).toHaveLength(rows);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
  expect(lines[0]).toMatch(new RegExp(`^stowctl top {2}${node} .* UTC {2}q quits$`));
  for (const title of ['SERVICES', 'DISKS', 'PULLS', 'EVENTS']) {
    expect(lines.filter((line) => line.startsWith(title))).toHaveLength(1);
  }
  expect(await shell.modes()).toEqual({
    isCursorShown: false,
    isOnOtherScreen: true,
    wrapsLines: false,
  });

  // A pull moves on, and is an event in the end.
  const reference = await slowImage(`team/top-${columns}`);
  const pulled = local('ensure', reference);
  const size = '\\S+ \\S+ of 2\\d\\.\\d MiB +\\S+ \\S+/s';
  await shell.shows(new RegExp(`^ \\[#+\\.+\\] +\\d+ % .*top-${columns}:1 +${size}`, 'm'));
  expect((await pulled).code).toBe(0);
  await shell.shows(/^ nothing is being pulled$/m);
  await shell.shows(new RegExp(`^ \\d\\d:\\d\\d:\\d\\d .*pulled .*top-${columns}:1`, 'm'));

  // Lines that stay as they are, are not written again.
  const clock = async () => /\d\d:\d\d:\d\d UTC/.exec((await shell.screen())[0] ?? '')?.[0];
  const start = await clock();
  const written = shell.output().length;
  await eventually(async () => (await clock()) !== start);
  const since = shell.output().slice(written);
  expect(since).toContain('\u001b[1;1H');
  expect(since).not.toContain('\u001b[2J');
  expect(since).not.toContain('\u001b[2;1H');

  // Another size.
  await shell.resize(columns + 20, rows + 5);
  await eventually(async () => {
    const resized = await shell.screen();
    return resized.length === rows + 5 && resized[0]?.length === columns + 20;
  });
  await shell.resize(60, 20);
  await shell.shows(/60x20 is too small for top: it needs 80x24/);
  await shell.resize(columns, rows);
  await shell.shows(/SERVICES[^]*EVENTS/);

  // The terminal is as it was before.
  await shell.press(isSmall ? 'q' : 'C-c');
  await shell.run('echo code=$?');
  const after = await shell.shows(/code=\d/);
  expect(after.join('\n')).toMatch(isSmall ? /before[^]*code=0/ : /before[^]*code=130/);
  expect(await shell.modes()).toEqual({
    isCursorShown: true,
    isOnOtherScreen: false,
    wrapsLines: true,
  });
  // Colours, unless they are not wanted.
  expect(/\u001b\[3[123]m/.test(shell.output())).toBe(isSmall);
}

it.each(Object.keys(cases))('stowctl %s', async (name) => {
  await cases[name]?.();
});

it('no command is without a case', async () => {
  const { stdout } = await stowctl(['--help']);
  const [, , list = ''] = stdout.split('\n\n');
  const names = [...list.matchAll(/^ {2}(\S+(?: \S+)?) {2,}\S/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(15);
  expect(names.filter((name) => name !== undefined && !(name in cases))).toEqual([]);
});

it('what whoever runs a pod calls it never reaches the terminal as it is', async () => {
  const name = 'evil\u001b[31m\u0007\u001b[2J';
  const endpoint = `unix://${path.join(fixture.stack.dir, 'runtime.sock')}`;
  const runtime = connectRuntimeService({ endpoint });
  cleanUps.push(() => runtime.close());
  const config = { metadata: { name, namespace: 'default', uid: 'u', attempt: 0 }, linux: {} };
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  try {
    await prints(/default +evil\\u001b\[31m\\u0007\\u001b\[2J/, 'pods');
    const shell = await terminal(132, 43);
    await shell.run(`$STOWCTL top --sockets ${sockets}`);
    await shell.shows(/pod default\/evil\\u001b\[31m\\u0007\\u001b\[2J started/);
    expect(shell.output()).not.toContain('evil\u001b');
    expect(shell.output()).not.toContain('\u0007');
  } finally {
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  }
});
