import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, runApp, ServiceFixture } from '@stowage/testing';

/** A node that is tried in shadow first, by the tool alone. */

const node = 'node-1.example';
let fixture: ServiceFixture;
let sockets: string;
let configFile: string;

const configure = (collect: string) =>
  writeFileSync(configFile, `gc-worker: { collect: ${collect}, imageMinimumGCAge: 0s }\n`);

const stowctl = (...args: string[]) =>
  runApp('stowctl', { args: [...args, '--sockets', sockets], env: { HOME: fixture.stack.dir } });

interface ShownPlan {
  readonly planId: string;
  readonly images: readonly { readonly imageId: string; readonly verdict: string }[];
}

async function plan(): Promise<ShownPlan> {
  const { stdout } = await stowctl('plan', '--bytes', '1Ti', '-o', 'json');
  const [one] = JSON.parse(stdout) as [ShownPlan];
  return one;
}

const planned = ({ images }: ShownPlan): string[] =>
  images.flatMap(({ imageId, verdict }) => (verdict === 'remove' ? [imageId] : [])).sort();

beforeAll(async () => {
  fixture = await ServiceFixture.start({ node, filesystemMb: 400 });
  sockets = path.join(fixture.stack.dir, 'run');
  mkdirSync(sockets);
  configFile = path.join(fixture.stack.dir, 'config.yaml');
  configure('shadow');
  await fixture.start(
    'gc-worker',
    {
      STOWAGE_NATS_SERVERS: 'none',
      STOWAGE_COMMAND_SOCKET: path.join(sockets, 'gc-worker.cmd.sock'),
      STOWAGE_DETECTION_INTERVAL: '300ms',
      STOWAGE_DISK_CHECK_INTERVAL: '200ms',
    },
    { args: ['--config', configFile] },
  );
});

afterAll(() => fixture.down());

it('a plan is tried in shadow, kept from a pause, and then carried out exactly', async () => {
  const pushed: string[] = [];
  for (let at = 0; at < 3; at += 1) {
    const image = await fixture.stack.pushImage({ name: `team/app-${at}`, tag: '1', sizeMb: 3 });
    await fixture.stack.pullImage(image.reference);
    pushed.push(image.imageId);
  }
  const before = await eventually(async () => {
    const found = await plan();
    return pushed.every((imageId) => planned(found).includes(imageId)) ? found : undefined;
  });
  const { planId } = before;
  const there = (await fixture.stack.runtime.imageNames()).sort();

  const shadow = await stowctl('gc', 'run', '--plan', planId);
  expect([shadow.code, shadow.stderr]).toEqual([0, '']);
  expect(shadow.stdout).toMatch(
    new RegExp(
      `^${node}: in shadow, nothing was removed; ${planId} would have removed ${planned(before).length} images for \\d+\\.\\d MiB`,
    ),
  );
  expect(shadow.stdout).toMatch(/team\/app-0:1 +would-remove +request/);
  expect(shadow.stdout).toContain(
    `to carry it out once collect is on: stowctl gc run --plan ${planId}\n`,
  );
  expect((await fixture.stack.runtime.imageNames()).sort()).toEqual(there);
  expect((await stowctl('events', '--type', 'GarbageCollectionShadowed')).stdout).toMatch(
    new RegExp(`GarbageCollectionShadowed +${planId} \\(request\\) would have removed`),
  );
  expect((await stowctl('status')).stdout).toMatch(/collect: shadow/);

  // Paused, it is refused as that, and not as a plan that no longer holds.
  configure('on');
  await eventually(async () => !(await stowctl('status')).stdout.includes('collect: shadow'));
  expect((await stowctl('pause', '30m', '--reason', 'a look')).code).toBe(0);
  const paused = await stowctl('gc', 'run', '--plan', planId);
  expect([paused.code, paused.stdout]).toEqual([1, '']);
  expect(paused.stderr).toMatch(/collection is paused until .*\(a look\)/);
  expect(paused.stderr).not.toContain('have changed');
  expect((await stowctl('resume')).code).toBe(0);

  const ran = await stowctl('gc', 'run', '--plan', planId, '-o', 'json');
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  const [{ images }] = JSON.parse(ran.stdout) as [
    { images: { imageId: string; result: string }[] },
  ];
  const removed = images.filter(({ result }) => result === 'removed');
  expect(removed.map(({ imageId }) => imageId).sort()).toEqual(planned(before));
  const left = await fixture.stack.runtime.imageNames();
  for (const imageId of planned(before)) expect(left.join('\n')).not.toContain(imageId);
});
