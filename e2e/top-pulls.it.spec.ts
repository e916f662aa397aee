import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { eventually, runApp, ServiceFixture, Terminal, type AppProcess } from '@stowage/testing';
import { slowRegistry, type SlowRegistry } from './slow-registry';

/**
 * The pulls that `stowctl top` shows are those that image-service has in hand, with what has
 * arrived of each. No event says that here.
 */

const node = 'node-1.example';
const program = path.resolve(__dirname, '../dist/apps/stowctl/main.js');

let fixture: ServiceFixture;
let sockets: string;
let registry: SlowRegistry;
let service: AppProcess;
let shell: Terminal;

const startService = async () => {
  service = await fixture.start('image-service', {
    STOWAGE_LISTEN: path.join(fixture.stack.dir, 'image.sock'),
    STOWAGE_COMMAND_SOCKET: path.join(sockets, 'image-service.cmd.sock'),
    STOWAGE_IMAGE_PULL_PROGRESS_INTERVAL: '0',
  });
};

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node, filesystemMb: 400 });
  sockets = path.join(fixture.stack.dir, 'run');
  mkdirSync(sockets);
  registry = await slowRegistry(fixture.stack.registry.open.url, 6_000_000);
  await startService();
});

afterEach(() => shell.close());

afterAll(async () => {
  await registry.close();
  await fixture.down();
});

/** Mebibytes that the line of a pull says have arrived. */
const arrived = (screen: readonly string[], name: string): number => {
  const line = screen.find((one) => one.includes(name)) ?? '';
  return Number(/(\d+\.\d) MiB of /.exec(line)?.[1]);
};

it.each([
  ['its socket', () => `--sockets ${sockets}`, 80, 24],
  ['NATS', () => `--server ${fixture.stack.nats.url} --node ${node}`, 132, 43],
])('through %s: bytes as they come, and why they are not known', async (way, reach, ...size) => {
  const [columns, rows] = size;
  const env = { HOME: fixture.stack.dir, STOWCTL: `${process.execPath} ${program}` };
  shell = await Terminal.open({ columns, rows, env });
  await shell.run(`$STOWCTL top ${reach()}`);
  await shell.shows(/^ nothing is being pulled$/m);

  const name = `team/bytes-${columns}`;
  const pushed = await fixture.stack.pushImage({ name, tag: '1', sizeMb: 30 });
  const image = pushed.reference.replace(/^[^/]+/, registry.host);
  const pulled = runApp('stowctl', { args: ['ensure', image, '--sockets', sockets] });
  const running = new RegExp(
    `^ \\[#+\\.+\\] +\\d+ % .*bytes-${columns}:1 +\\d+\\.\\d MiB of (?:29|30)\\.\\d MiB +\\d+\\.\\d MiB/s`,
    'm',
  );
  const first = arrived(await shell.shows(running), name.slice(-8));
  expect(first).toBeGreaterThan(0);
  await eventually(async () => arrived(await shell.screen(), name.slice(-8)) > first + 2, {
    what: 'more bytes to be shown',
  });
  expect((await pulled).code).toBe(0);
  await shell.shows(/^ nothing is being pulled$/m);
  // The list of events has its beginning and its end.
  const lines = await shell.shows(new RegExp(`pulled .*${name}:1`));
  expect(lines.join('\n')).toMatch(new RegExp(`pull of .*${name}:1 began`));
  expect(fixture.events.named('ImagePullProgress')).toEqual([]);

  await service.kill();
  await shell.shows(/^ not known: image-service does not answer$/m);
  await startService();
  await shell.shows(/^ nothing is being pulled$/m);
  await shell.press('q');
});
