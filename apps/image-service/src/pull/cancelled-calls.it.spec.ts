import { Client, credentials, status, type ClientUnaryCall } from '@grpc/grpc-js';
import { ListImagesRequest, PullImageRequest, PullImageResponse } from '@stowage/cri-proto';
import { eventually, startStack, type Stack } from '@stowage/testing';
import { FakeRegistry } from '../testing/fake-registry';
import { ServiceProcess } from '../testing/service-process';

const mib = 1024 * 1024;

describe('a pull beside calls that are cancelled by the thousand', () => {
  let stack: Stack;
  let registry: FakeRegistry;
  let service: ServiceProcess;

  beforeAll(async () => {
    stack = await startStack({});
    registry = await FakeRegistry.start();
    service = new ServiceProcess(stack, 'image');
    await service.start();
  });

  afterAll(async () => {
    await service.app.stop();
    await registry.stop();
    await stack.down();
  });

  it('goes on and is answered, on the same connection', async () => {
    const image = registry.add('team/slow', [mib]);
    let isHeldBack = true;
    registry.fault = ({ kind }) =>
      isHeldBack && kind === 'blob' ? { bytes: 4096, everyMs: 20 } : undefined;
    const client = new Client(`unix:${service.socket}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    const pulled = new Promise<string>((resolve, reject) => {
      client.makeUnaryRequest(
        '/runtime.v1.ImageService/PullImage',
        (request: PullImageRequest) => Buffer.from(PullImageRequest.encode(request).finish()),
        (bytes: Buffer) => PullImageResponse.decode(bytes),
        PullImageRequest.fromPartial({ image: { image: image.reference } }),
        (error, reply) =>
          error == null && reply !== undefined ? resolve(reply.imageRef) : reject(error as Error),
      );
    });
    await eventually(() => registry.requests.some(({ kind }) => kind === 'blob'));
    const listImages = (begun?: (call: ClientUnaryCall) => void) =>
      new Promise<number>((resolve) => {
        const call = client.makeUnaryRequest(
          '/runtime.v1.ImageService/ListImages',
          (request: ListImagesRequest) => Buffer.from(ListImagesRequest.encode(request).finish()),
          (bytes: Buffer) => bytes,
          ListImagesRequest.fromPartial({}),
          (error) => resolve(error?.code ?? status.OK),
        );
        begun?.(call);
      });
    const cancelled = () => listImages((call) => setImmediate(() => call.cancel()));
    // nghttp2's own limit is 1 000 resets, and Node.js 20 has no option to lift it.
    const rounds = Number(process.versions.node.split('.')[0]) > 20 ? 20 : 8;
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: 100 }, cancelled));
      expect(await listImages()).toBe(status.OK);
    }
    expect(await service.app.metric('stowage_image_pulls_in_flight')).toBe(1);
    isHeldBack = false;
    expect(await pulled).toBe(stack.runtime.imageIdOf(image.imageId));
    client.close();
  });
});
