import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectImageService } from '@stowage/cri-client';
import {
  ServiceFixture,
  type CrioOptions,
  type EventCollection,
  type Stack,
} from '@stowage/testing';
import { FakeRegistry } from './testing/fake-registry';
import { ServiceProcess } from './testing/service-process';

const mib = 1024 * 1024;

interface Reply {
  readonly ok: boolean;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly code: string; readonly message: string };
}

describe('image-service on CRI-O', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let service: ServiceProcess;
  let events: EventCollection;

  const ask = async (verb: string, input: object) =>
    (await fixture.request('image-service', verb, input, { timeoutMs: 60_000 })) as Reply;
  const ensure = (image: string, more: object = {}) => ask('ensure', { image, ...more });

  const start = async (crio?: CrioOptions, env: Record<string, string> = {}) => {
    fixture = await ServiceFixture.start({ crio });
    ({ stack, events } = fixture);
    service = new ServiceProcess(stack, 'crio');
    await service.start({ env });
  };

  afterEach(async () => {
    await service.stop();
    await fixture.down();
  });

  it('keeps to the signature policy of each registry, and says which failure is one of it', async () => {
    const registry = await FakeRegistry.start();
    try {
      const keys = {
        keyType: 'GPGKeys',
        keyData: Buffer.from('no key').toString('base64'),
      };
      await start({
        policy: {
          default: [{ type: 'reject' }],
          'registry.k8s.io': [{ type: 'insecureAcceptAnything' }],
          [registry.host]: [{ type: 'insecureAcceptAnything' }],
          [`${registry.host}/team/signed`]: [{ type: 'signedBy', ...keys }],
          [`${registry.host}/team/refused`]: [{ type: 'reject' }],
        },
      });
      const free = registry.add('team/free', [1000]);
      expect(await ensure(free.reference)).toMatchObject({ ok: true, result: { pulled: true } });

      const elsewhere = await stack.pushImage({ name: 'team/elsewhere', tag: '1' });
      for (const { reference, words } of [
        { ...registry.add('team/signed', [1000]), words: /[Ss]ignature/ },
        { ...registry.add('team/refused', [1000]), words: /rejected by policy/ },
        { ...elsewhere, words: /rejected by policy/ },
      ]) {
        const reply = await ensure(reference);
        expect(reply.error?.message).toMatch(words);
        expect(reply.error?.message).toMatch(/\[tried: no credentials: signature-invalid\]$/);
        const { data } = await events.waitFor(
          'ImagePullFailed',
          (event) => event.data.reference === reference,
        );
        expect(data.error).toMatchObject({ code: 'signature-invalid' });
        // kubelet takes its reason for the pod's status from these words of CRI-O.
        await expect(
          service.client.pullImage({ image: { image: reference } }),
        ).rejects.toMatchObject({
          message: expect.stringContaining('SignatureValidationFailed') as string,
        });
      }
    } finally {
      await registry.stop();
    }
  });

  it('ends no pull for want of progress, and leaves the bytes of a folder of notes out, images in a store of their own', async () => {
    const registry = await FakeRegistry.start();
    try {
      await start(
        { imageStore: true },
        {
          STOWAGE_IMAGE_PULL_PROGRESS_SOURCE: 'image-fs',
          STOWAGE_IMAGE_PULL_PROGRESS_DEADLINE: '2s',
          STOWAGE_IMAGE_PULL_PROGRESS_INTERVAL: '500ms',
        },
      );
      const direct = connectImageService({ endpoint: stack.runtime.endpoint });
      const { imageFilesystems } = await direct.imageFsInfo({});
      direct.close();
      const mountpoint = imageFilesystems[0]?.fsId?.mountpoint ?? '';
      expect(mountpoint.startsWith(`${stack.runtime.root}/`)).toBe(true);

      const slow = registry.add('team/slow', [2 * mib]);
      registry.fault = ({ reference }) =>
        reference === slow.layers[0] ? { bytes: 128 * 1024, everyMs: 300 } : undefined;
      expect(await ensure(slow.reference)).toMatchObject({ ok: true, result: { pulled: true } });
      expect(events.named('ImagePullProgress')).toEqual([]);

      const stats = await ask('stats', {});
      expect(stats).toMatchObject({ ok: true, result: { imageFilesystems: [{ mountpoint }] } });
      expect(JSON.stringify(stats)).not.toContain('usedBytes');
      const forwarded = await service.client.imageFsInfo({});
      expect(forwarded.imageFilesystems[0]?.fsId?.mountpoint).toBe(mountpoint);
    } finally {
      await registry.stop();
    }
  });

  it('pulls a short name as registries.conf says, and sends no credential of the node for it', async () => {
    await start({});
    const { imageId } = await stack.pushImage({ name: 'library/short', tag: '1' });
    mkdirSync(service.dockerDir, { recursive: true });
    const auth = Buffer.from('u:pw-Ja71-never-sent').toString('base64');
    writeFileSync(
      path.join(service.dockerDir, 'config.json'),
      JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth } } }),
    );
    expect(await ensure('short:1')).toMatchObject({ ok: true, result: { pulled: true, imageId } });
    const { data } = await events.waitFor('ImagePulled', (event) => event.data.imageId === imageId);
    expect(data.credential.source).toBe('none');
    const whole = await ensure('docker.io/library/short:1', { pullPolicy: 'Always' });
    expect(whole).toMatchObject({ ok: true, result: { imageId } });
  });

  it('publishes the removal of an image with its last name, not when one of its names goes', async () => {
    await start({}, { STOWAGE_COMMANDS: 'ensure,list,status,stats,remove' });
    const { imageId, reference } = await stack.pushImage({ name: 'team/two', tag: ['1', '2'] });
    const other = reference.replace(/1$/, '2');
    for (const name of [reference, other]) expect((await ensure(name)).ok).toBe(true);
    await service.client.removeImage({ image: { image: reference } });
    expect(await stack.runtime.imageNames()).toEqual(expect.arrayContaining([imageId, other]));
    expect(events.named('ImageRemoved')).toEqual([]);
    await service.client.removeImage({ image: { image: other } });
    const { data } = await events.waitFor('ImageRemoved');
    expect(data).toMatchObject({ imageId });
    expect(events.named('ImageRemoved')).toHaveLength(1);
  });

  it.each([
    ['a tag that is a status', 'team/app:401'],
    ['a repository named after a failure', 'team/forbidden:1'],
    ['a tag that is another status', 'team/app:429'],
  ])('reads no class from names: %s that is missing is not found', async (_, name) => {
    await start({});
    const { host } = stack.registry.open;
    expect((await ensure(`${host}/${name}`)).error?.message).toMatch(
      /\[tried: no credentials: not-found\]$/,
    );
  });
});
