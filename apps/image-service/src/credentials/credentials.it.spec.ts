import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  ServiceFixture,
  type EventCollection,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import { ServiceProcess } from '../testing/service-process';

interface Example {
  readonly title: string;
  /** Content by path. */
  readonly files: ReadonlyMap<string, string>;
  /** Section of the configuration file. */
  readonly config: string;
  /** Input of the command `ensure`. */
  readonly request: string;
}

/** The examples of the section "Credentials": one a heading, each with its fenced blocks. */
function examples(): Example[] {
  const page = readFileSync(path.join(__dirname, '../../../../docs/image-service.md'), 'utf8');
  const [, section = ''] = /^## Credentials\n([^]*?)^## /m.exec(page) ?? [];
  return section
    .split(/^### /m)
    .slice(1)
    .map((text) => {
      const files = new Map<string, string>();
      let [config, request] = ['', ''];
      for (const [, info = '', content = ''] of text.matchAll(/^```(.*)\n([^]*?)^```$/gm)) {
        const file = / file=(\S+)$/.exec(info)?.[1];
        if (file !== undefined) files.set(file, content);
        if (info.endsWith(' config')) config = content;
        if (info.endsWith(' request')) request = content;
      }
      return { title: text.split('\n')[0] ?? '', files, config, request };
    })
    .filter(({ config, request }) => config !== '' || request !== '');
}

const sourceOf: Readonly<Record<string, object>> = {
  'With the request': { source: 'request' },
  'Docker config': { source: 'docker-config' },
  'Pull secrets': { source: 'kubernetes-secret', name: 'shop/registry' },
  'Credential helpers': { source: 'credential-helper', name: 'example' },
  'Credential-provider plugins': { source: 'credential-provider', name: 'example-provider' },
};

describe('the examples of docs/image-service.md', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let events: EventCollection;
  let image: PushedImage;

  beforeAll(async () => {
    fixture = await ServiceFixture.start();
    ({ stack, events } = fixture);
    image = await stack.pushImage({ name: 'team/app', tag: '1', to: 'auth' });
  });

  afterAll(() => fixture.down());

  it('are about every source', () => {
    expect(examples().map(({ title }) => title)).toEqual(Object.keys(sourceOf));
  });

  it.each(examples())('$title: pulls from a registry with a password', async (example) => {
    const { host, username, password } = stack.registry.auth;
    const service = new ServiceProcess(stack, 'example');
    const dir = path.join(service.dir, 'etc');
    const basic = Buffer.from(`${username}:${password}`).toString('base64');
    const real = (text: string) =>
      text
        .replaceAll('registry.example:5000', host)
        .replaceAll('/etc/stowage', dir)
        .replaceAll('dXNlcjpwYXNzd29yZA==', basic)
        .replaceAll(/"user"/g, JSON.stringify(username))
        .replaceAll(/"password"(?!:)/g, JSON.stringify(password));
    mkdirSync(dir);
    for (const [name, content] of example.files) {
      const file = path.join(dir, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, real(content));
      if (content.startsWith('#!')) chmodSync(file, 0o755);
    }
    const configFile = path.join(service.dir, 'config.yaml');
    const lines = real(example.config).replaceAll(/^(?=.)/gm, '  ');
    writeFileSync(configFile, lines === '' ? '' : `image-service:\n${lines}`);
    const isDockerConfig = example.config.includes('dockerConfigDirs');
    await service.start({
      args: ['--config', configFile],
      unset: isDockerConfig ? ['STOWAGE_DOCKER_CONFIG_DIRS'] : [],
    });
    try {
      await service.client.removeImage({ image: { image: image.imageId } });
      const before = events.named('ImagePulled').length;
      const input =
        example.request === '' ? JSON.stringify({ image: image.reference }) : real(example.request);
      const reply = await fixture.request('image-service', 'ensure', input);
      expect(reply).toMatchObject({ ok: true, result: { pulled: true, imageId: image.imageId } });
      const { data } = await events.waitFor(
        'ImagePulled',
        (event) => events.named('ImagePulled').indexOf(event) >= before,
      );
      expect(data.credential).toMatchObject(sourceOf[example.title] ?? {});
      const outputs = await service.outputs();
      expect([outputs.includes(password), outputs.includes(basic)]).toEqual([false, false]);
    } finally {
      await service.stop();
    }
  });

  it("give a namespace's mounted secret to pods of that namespace alone", async () => {
    const { host, username, password } = stack.registry.auth;
    const service = new ServiceProcess(stack, 'scope');
    const secrets = path.join(service.dir, 'secrets');
    mkdirSync(path.join(secrets, 'shop/registry'), { recursive: true });
    writeFileSync(
      path.join(secrets, 'shop/registry/.dockerconfigjson'),
      JSON.stringify({ auths: { [host]: { username, password } } }),
    );
    const pullFor = (namespace?: string) =>
      service.client.pullImage({
        image: { image: image.reference },
        sandboxConfig:
          namespace === undefined
            ? undefined
            : { metadata: { namespace, name: 'p', uid: namespace } },
      });
    await service.start({ env: { STOWAGE_PULL_SECRETS_DIR: secrets } });
    try {
      await service.client.removeImage({ image: { image: image.imageId } });
      const refused = expect.objectContaining({
        message: expect.stringContaining('[tried: no credentials: unauthorized]') as string,
      }) as Error;
      await expect(pullFor('bank')).rejects.toEqual(refused);
      await expect(pullFor()).rejects.toEqual(refused);
      expect(await pullFor('shop')).toEqual({ imageRef: image.imageId });
      const { data } = await events.waitFor('ImagePulled', (e) => e.data.pod?.uid === 'shop');
      expect(data.credential).toMatchObject({ source: 'kubernetes-secret', name: 'shop/registry' });
    } finally {
      await service.stop();
    }
    await service.start({
      env: { STOWAGE_PULL_SECRETS_DIR: secrets, STOWAGE_PULL_SECRETS_SCOPE: 'node' },
    });
    try {
      await service.client.removeImage({ image: { image: image.imageId } });
      expect(await pullFor('bank')).toEqual({ imageRef: image.imageId });
    } finally {
      await service.stop();
    }
  });
});
