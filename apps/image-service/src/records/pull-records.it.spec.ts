import { readdirSync } from 'node:fs';
import path from 'node:path';
import { connectImageService } from '@stowage/cri-client';
import {
  eventually,
  eventuallyPasses,
  ServiceFixture,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import { ServiceProcess } from '../testing/service-process';
import { recordFileName } from './record-files';

describe('pull records while the service runs', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let service: ServiceProcess;
  let images: [PushedImage, PushedImage];
  let auth: { username: string; password: string };

  const ensure = (image: string, more: object = { auth }) =>
    fixture.request('image-service', 'ensure', { image, ...more });
  const pulled = { ok: true, result: { pulled: true } };
  const present = { ok: true, result: { pulled: false } };
  const files = () =>
    readdirSync(path.join(service.dir, 'state', 'image_manager', 'pulled')).sort();
  const gauges = async () => [
    await service.app.metric('stowage_image_pull_intents'),
    await service.app.metric('stowage_image_pulled_records'),
  ];
  /** Past the service. */
  const remove = async ({ imageId }: PushedImage) => {
    const direct = connectImageService({ endpoint: stack.runtime.endpoint });
    await direct.removeImage({ image: { image: imageId } });
    direct.close();
  };

  beforeAll(async () => {
    fixture = await ServiceFixture.start();
    ({ stack } = fixture);
    images = await Promise.all([
      stack.pushImage({ name: 'team/one', tag: '1', to: 'auth' }),
      stack.pushImage({ name: 'team/two', tag: '1', to: 'auth' }),
    ]);
    const { username, password } = stack.registry.auth;
    auth = { username, password };
    service = new ServiceProcess(stack, 'records');
    await service.start({
      env: {
        STOWAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY: 'NeverVerifyPreloadedImages',
        STOWAGE_IMAGE_PULL_RECORDS_PRUNE_INTERVAL: '200ms',
      },
    });
  });

  afterAll(async () => {
    await service.stop();
    await fixture.down();
  });

  it('are counted, dropped with their image, and there again after the next pull', async () => {
    const [one, two] = images;
    const record = ({ imageId }: PushedImage) => recordFileName(imageId);
    expect(await gauges()).toEqual([0, 0]);
    for (const { reference } of images) expect(await ensure(reference)).toMatchObject(pulled);
    expect(await gauges()).toEqual([0, 2]);
    expect(files()).toEqual([record(one), record(two)].sort());

    await remove(one);
    await eventually(() => files().length === 1, { what: 'the record to be dropped' });
    expect(files()).toEqual([record(two)]);
    await eventuallyPasses(async () => {
      expect(await gauges()).toEqual([0, 1]);
    });
    // What is still there keeps its record: whoever has no credential does not get it.
    expect(await ensure(two.reference, {})).toMatchObject({ ok: false });
    expect(await ensure(two.reference)).toMatchObject(present);

    expect(await ensure(one.reference)).toMatchObject(pulled);
    expect(await ensure(one.reference)).toMatchObject(present);
    expect(await ensure(one.reference, { caller: 'nobody' })).toMatchObject({ ok: false });
    expect(await gauges()).toEqual([0, 2]);
  });
});
