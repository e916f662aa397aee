/**
 * What an administrator does with the package, on a system that nobody else sees: installs it,
 * runs it by its units, upgrades it, removes it. Runs inside of a throwaway root, as root, on the
 * Node.js of the package: `main.js FOLDER`, where the folder holds two
 * revisions of the package in `built`, and `page.json` with the commands of docs/install-debian.md,
 * which are what is typed.
 */
import { strict as assert } from 'node:assert';
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { callOnce, Caller } from './call-runtime';
import { Page } from './page';
import { writeImage } from './small-image';
import { differences, tracesOf } from './traces';
import { idOf, makeSockets, unitSocket, UnitService } from './units';

const run = promisify(execFile);
const scratch = '/tmp/trial';
const configFile = '/etc/stowage/config.yaml';
const socketUnits = [
  'stowage-runtime-gateway.socket',
  'stowage-runtime-gateway-ro.socket',
  'stowage-image-service.socket',
];
const units = [...socketUnits, 'stowage-docker-shim.socket'];
const services = ['runtime-gateway', 'image-service', 'gc-worker'];
const allServices = [...services, 'docker-shim'].map((app) => `stowage-${app}.service`);

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** One thing that has to hold; its name is printed once it does. */
async function check(name: string, body: () => unknown): Promise<void> {
  try {
    await body();
  } catch (error) {
    say(`not ok: ${name}`);
    for (const service of services) printLog(path.join(scratch, `${service}.log`));
    throw error;
  }
  say(`ok: ${name}`);
}

function printLog(file: string): void {
  try {
    say(`-- ${file}\n${readFileSync(file, 'utf8').slice(-4000)}`);
  } catch {
    // It was not started.
  }
}

/** Waits until a step passes, for at most 60 s. */
async function eventually<T>(step: () => Promise<T> | T): Promise<T> {
  const until = Date.now() + 60_000;
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (Date.now() > until) throw error;
      await delay(200);
    }
  }
}

/** Runs a program; what it printed on both streams. */
function output(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${command} ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

async function startContainerd(): Promise<void> {
  const log = openSync(path.join(scratch, 'containerd.log'), 'a');
  const child = spawn('containerd', [], { stdio: ['ignore', log, log] });
  child.unref();
  await eventually(async () => {
    assert.equal(await callOnce('/run/containerd/containerd.sock'), undefined);
  });
}

/** An image as gc-worker knows it. */
interface KnownImage {
  readonly id: string;
  readonly firstDetected: string;
}

async function knownImages(): Promise<KnownImage[]> {
  const { stdout } = await run('stowctl', ['images', '-o', 'json']);
  const found = [...stdout.matchAll(/"firstDetected": ?"([^"]+)"/g)].map(([, at = '']) => at);
  return found.map((firstDetected, index) => ({ id: String(index), firstDetected }));
}

/** Events that wait in the outbox of gc-worker. */
async function waitingEvents(): Promise<number> {
  const page = await (await fetch('http://127.0.0.1:9472/metrics')).text();
  return Number(/^stowage_events_pending(?:\{[^}]*\})? (\d+)/m.exec(page)?.[1]);
}

const isReady = async (port: number): Promise<void> => {
  const response = await fetch(`http://127.0.0.1:${port}/readyz`);
  assert.equal(response.status, 200, await response.text());
};
const ports = { 'runtime-gateway': 9470, 'image-service': 9471, 'gc-worker': 9472 };

/** With the descriptors of the sockets from 3 on. */
async function runServices(debs: string): Promise<void> {
  const page = new Page(debs, scratch);
  const sockets = socketUnits.map((unit, index) => ({ ...unitSocket(unit), fd: 3 + index }));
  const running = services.map(
    (app) =>
      new UnitService(
        `stowage-${app}.service`,
        sockets.filter(({ unit }) => unit.replace(/(-ro)?\.socket$/, '') === `stowage-${app}`),
        path.join(scratch, `${app}.log`),
      ),
  );
  const restart = async (): Promise<void> => {
    // As systemd does it at `systemctl restart`: the socket stays, and calls wait in it.
    for (const service of running) {
      assert.equal(await service.stop(), 0, `${service.unit} did not end with 0`);
      service.start();
    }
    await eventually(() => Promise.all(Object.values(ports).map(isReady)));
  };

  await check(
    'a call that comes before the service waits in the socket, and is answered',
    async () => {
      const early = callOnce('/run/stowage/runtime.sock');
      await delay(300);
      for (const service of running) service.start();
      assert.equal(await early, undefined);
      await eventually(() => Promise.all(Object.values(ports).map(isReady)));
    },
  );

  await check('the services run as the user stowage, with what their units allow', () => {
    const uid = idOf('passwd', 'stowage');
    const expected: Record<string, string> = {
      'stowage-runtime-gateway.service': '0000000000000000',
      'stowage-image-service.service': '0000000000000004',
      'stowage-gc-worker.service': '0000000000000002',
    };
    for (const { unit, pid } of running) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      assert.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t`, 'm'), unit);
      for (const set of ['CapPrm', 'CapEff', 'CapBnd']) {
        assert.equal(new RegExp(`^${set}:\\t(.*)$`, 'm').exec(status)?.[1], expected[unit], unit);
      }
      assert.match(status, /^NoNewPrivs:\t1$/m, unit);
    }
  });

  await check('root uses all sockets, the group stowage all but the main one', async () => {
    for (const name of ['runtime', 'runtime-ro', 'image']) {
      const failure = name === 'image' ? undefined : await callOnce(`/run/stowage/${name}.sock`);
      assert.equal(failure, undefined, name);
    }
    const as = (socket: string) =>
      run('setpriv', [
        ...[
          '--reuid=65534',
          `--regid=${idOf('group', 'stowage')}`,
          '--clear-groups',
          '--no-new-privs',
        ],
        ...[process.execPath, process.argv[1] ?? '', 'call', socket],
      ]);
    await as('/run/stowage/runtime-ro.sock');
    await assert.rejects(as('/run/stowage/runtime.sock'), /EACCES/);
  });

  const bringImage = (name: string) =>
    run('ctr', ['-n', 'k8s.io', 'images', 'import', writeImage(scratch, name)]);

  await check('stowctl shows the services, and its doctor finds nothing', async () => {
    await bringImage('registry.example/trial/first:1');
    await eventually(() => run('stowctl', ['doctor']));
    const { stdout } = await run('stowctl', ['status']);
    for (const app of services) assert.match(stdout, new RegExp(app));
    for (const command of ['status', 'doctor', 'plan']) {
      page.type(new RegExp(`^sudo stowctl ${command}$`));
    }
  });

  await check('gc-worker has its lock beside the socket of the runtime', () => {
    assert.equal(
      statSync('/run/containerd/containerd.sock.gc-worker.lock').uid,
      idOf('passwd', 'stowage'),
    );
  });

  await check('a changed configuration is used, and events wait for NATS', async () => {
    const changed = readFileSync(configFile, 'utf8').replace(
      'natsServers: []',
      'natsServers: [nats://127.0.0.1:4222]',
    );
    writeFileSync(configFile, changed);
    await restart();
    await bringImage('registry.example/trial/second:1');
    await eventually(async () => assert.equal((await knownImages()).length, 2));
    await eventually(async () => assert.ok((await waitingEvents()) > 0));
  });

  await check('an upgrade keeps configuration, ages and outbox; no call fails', async () => {
    const [images, waiting, config] = [
      await knownImages(),
      await waitingEvents(),
      readFileSync(configFile, 'utf8'),
    ];
    const mode = statSync(configFile).mode;
    const callers = [
      Caller.runtime('/run/stowage/runtime.sock'),
      Caller.runtime('/run/stowage/runtime-ro.sock'),
      Caller.images('/run/stowage/image.sock'),
    ];
    page.bring(2);
    page.type(/^sudo apt-get install \.\/stowage_\S+-2_/);
    await restart();
    const before = callers.map(({ calls }) => calls);
    await eventually(() => {
      callers.forEach(({ calls }, index) => assert.ok(calls > (before[index] ?? 0) + 20));
    });
    for (const caller of callers) await caller.stop();
    assert.deepEqual(
      callers.flatMap(({ failures }) => failures),
      [],
    );
    assert.equal(readFileSync(configFile, 'utf8'), config);
    assert.equal(statSync(configFile).mode, mode);
    assert.deepEqual(await knownImages(), images);
    assert.ok((await waitingEvents()) >= waiting);
  });

  await check('a step back to the version before starts on the same state', async () => {
    const images = await knownImages();
    page.bring(1);
    page.type(/^sudo apt-get install --allow-downgrades \.\/stowage_\S+-1_/);
    await restart();
    assert.deepEqual(await knownImages(), images);
  });

  for (const service of running) {
    assert.equal(await service.stop(), 0, `${service.unit} did not end with 0`);
  }
}

function verifyUnits(): void {
  const files = [...units, ...allServices].map((unit) => `/usr/lib/systemd/system/${unit}`);
  const said = output('systemd-analyze', 'verify', '--man=no', ...files);
  assert.equal(said, '', 'systemd-analyze verify is not silent');
  for (const file of files.filter((name) => name.endsWith('.service'))) {
    output('systemd-analyze', 'security', '--offline=true', '--threshold=30', file);
  }
}

/** What troff says of a page, where it is installed. */
function checkPages(): void {
  for (const section of ['man1', 'man5', 'man8']) {
    const folder = path.join('/usr/share/man', section);
    for (const name of readdirSync(folder).filter((file) => file.startsWith('stow'))) {
      const script = `zcat "$0" | groff -man -Tutf8 -ww -z`;
      assert.equal(output('sh', '-c', script, path.join(folder, name)), '', name);
    }
  }
}

async function main(debs: string): Promise<void> {
  mkdirSync(scratch, { recursive: true });
  await startContainerd();
  const before = tracesOf();
  const page = new Page(debs, scratch);

  await check('the package is installed', () => {
    page.type(/^npm run package:deb\b/);
    page.type(/^sudo apt-get install \.\/dist\/debian\/stowage_/);
    const { mode, gid } = statSync(configFile);
    assert.equal(`${(mode & 0o777).toString(8)} ${gid}`, `640 ${idOf('group', 'stowage')}`);
    const enabled = (unit: string) =>
      spawnSync('systemctl', ['is-enabled', unit], { encoding: 'utf8' }).stdout.trim();
    for (const unit of [...socketUnits, ...services.map((app) => `stowage-${app}.service`)]) {
      assert.equal(enabled(unit), 'enabled', unit);
    }
    assert.equal(enabled('stowage-docker-shim.service'), 'disabled');
    assert.equal(output('dpkg', '--verify', 'stowage'), '');
  });
  await check('systemd finds nothing wrong with its units, and at most 3.0 in each', verifyUnits);
  await check('troff finds nothing wrong with its manual pages', checkPages);
  await check('each service takes the configuration that is installed', () => {
    for (const app of [...services, 'docker-shim']) {
      const program = `/usr/lib/stowage/apps/${app}/main.js`;
      output('/usr/lib/stowage/bin/node', program, '--check-config', '--strict');
    }
  });

  const specs = socketUnits
    .map(unitSocket)
    .map(({ socketPath, mode, uid, gid }) => `${socketPath}:${mode}:${uid}:${gid}`);
  const again = [process.execPath, process.argv[1] ?? '', 'services', debs];
  // It holds the sockets as systemd does, over every restart of the services.
  execFileSync('perl', ['-e', makeSockets, ...specs, '--', ...again], { stdio: 'inherit' });

  await check('a removal keeps configuration and state', () => {
    page.type(/^sudo apt-get remove stowage\b/);
    assert.ok(statSync(configFile).isFile());
    assert.ok(statSync('/var/lib/stowage/gc-worker/records.db').isFile());
    assert.throws(() => statSync('/usr/lib/stowage'));
  });
  await check('a purge leaves no file, no folder and no user', () => {
    page.type(/^sudo apt-get purge stowage\b/);
    assert.deepEqual(differences(before, tracesOf()), []);
    assert.deepEqual(
      readdirSync('/run/containerd').filter((name) => name.includes('gc-worker')),
      [],
    );
  });
  await check('that was all that the page has somebody type', () => {
    assert.deepEqual(page.left, []);
  });
}

const [first = '', second = ''] = process.argv.slice(2);
const work =
  first === 'services'
    ? runServices(second)
    : first === 'call'
      ? callOnce(second).then((failure) => assert.equal(failure, undefined))
      : main(first);
work.then(
  () => process.exit(0),
  (error: unknown) => {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    process.stderr.write(`${String((error as Error).stack)}\n${stdout}${stderr}\n`);
    process.exit(1);
  },
);
