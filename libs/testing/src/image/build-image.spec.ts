import { spawnSync } from 'node:child_process';
import { deflateSync } from 'node:zlib';
import type { TestImage } from '../types';
import { buildImage } from './build-image';

const mebibyte = 1024 * 1024;

const listing = (tar: Buffer): string =>
  spawnSync('tar', ['-tvf', '-'], { input: tar, encoding: 'utf8' }).stdout;

const totalBytes = async (image: TestImage): Promise<number> =>
  (await buildImage(image)).layers.reduce((sum, { content }) => sum + content.length, 0);

describe('an image without busybox', () => {
  const data = { name: 'data', runnable: false };

  it('has exactly the size asked for', async () => {
    expect(await totalBytes({ ...data, sizeMb: 3 })).toBe(3 * mebibyte);
    expect(await totalBytes({ ...data, sizeMb: 0.5 })).toBe(mebibyte / 2);
  });

  it('is tiny when no size is asked for', async () => {
    expect(await totalBytes(data)).toBeLessThanOrEqual(4096);
  });

  it('cannot be compressed', async () => {
    const { layers } = await buildImage({ ...data, sizeMb: 1 });
    expect(deflateSync(layers[0]?.content ?? '').length).toBeGreaterThan(0.99 * mebibyte);
  });

  it('is the same on each build, and another one under another name or tag', async () => {
    const digest = async (image: TestImage) => (await buildImage(image)).manifest.digest;
    expect(await digest({ ...data, sizeMb: 2 })).toBe(await digest({ ...data, sizeMb: 2 }));
    expect(await digest({ ...data, tag: '2' })).not.toBe(await digest(data));
    expect(await digest({ ...data, name: 'other' })).not.toBe(await digest(data));
  });
});

describe('a runnable image', () => {
  it('has busybox with its commands, users and the files asked for', async () => {
    const { layers } = await buildImage({ name: 'app', files: { '/opt/run/hello': 'echo hello' } });
    const [busybox, files] = layers.map(({ content }) => listing(content));
    expect(busybox).toMatch(/^-rwxr-xr-x 0\/0 +\d+ .* bin\/busybox$/m);
    expect(busybox).toMatch(/^lrwxrwxrwx 0\/0 +0 .* bin\/sh -> busybox$/m);
    expect(busybox).toMatch(/^drwxrwxrwt 0\/0 +0 .* tmp\/$/m);
    expect(files).toMatch(/^drwxr-xr-x .* opt\/$/m);
    expect(files).toMatch(/^drwxr-xr-x .* opt\/run\/$/m);
    expect(files).toMatch(/^-rwxr-xr-x 0\/0 +10 .* opt\/run\/hello$/m);
  });

  it('counts busybox in its size', async () => {
    expect(await totalBytes({ name: 'app', sizeMb: 5 })).toBe(5 * mebibyte);
  });

  it('says what a container of it runs', async () => {
    const { config } = await buildImage({
      name: 'app',
      command: ['/bin/date'],
      user: '1000:1000',
      env: ['A=1'],
      labels: { a: 'b' },
    });
    expect(JSON.parse(config.content.toString())).toMatchObject({
      os: 'linux',
      config: {
        Cmd: ['/bin/date'],
        User: '1000:1000',
        Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'A=1'],
        Labels: { 'io.stowage.testing.image': 'app:latest', a: 'b' },
      },
    });
  });
});

it('refuses a size below that of busybox, whichever the machine has', async () => {
  await expect(buildImage({ name: 'a', sizeMb: 1 })).rejects.toThrow(
    /^a:latest: sizeMb is 1, but the layers below take \d\.\d MiB$/,
  );
});

it.each<[TestImage, string]>([
  [
    { name: 'a', sizeMb: 9, layers: [{ seed: 'b', sizeMb: 1 }] },
    'a:latest: sizeMb and layers exclude each other',
  ],
  [
    { name: 'a', layers: [{ seed: 'b', sizeMb: 0 }] },
    'a:latest: sizeMb of layer b is 0, must be above 0',
  ],
  [{ name: 'a', files: { 'b/c': '' } }, 'file in a test image must be absolute: b/c'],
])('refuses %j', async (image, message) => {
  await expect(buildImage(image)).rejects.toThrow(new RangeError(message));
});
