import { once } from 'node:events';
import path from 'node:path';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerWritableStream, ServiceError } from '@grpc/grpc-js';
import { ImageFsInfoResponse, StreamImagesRequest, StreamImagesResponse } from '@stowage/cri-proto';
import { startStack } from '@stowage/testing';
import type { Stack } from '@stowage/testing';
import { ServiceProcess } from '../testing/service-process';

type ListCall = ServerWritableStream<StreamImagesRequest, StreamImagesResponse>;

/** StreamImages of a runtime that has it; containerd 1.6 has not. */
describe('StreamImages through image-service', () => {
  let stack: Stack;
  let runtime: Server;
  let service: ServiceProcess;
  let client: Client;
  /** What the runtime does with a call. */
  let answer: (call: ListCall) => void;

  beforeAll(async () => {
    stack = await startStack({ registries: false });
    runtime = new Server();
    runtime.addService(
      {
        streamImages: {
          path: '/runtime.v1.ImageService/StreamImages',
          requestStream: false,
          responseStream: true,
          requestSerialize: (request: StreamImagesRequest) =>
            Buffer.from(StreamImagesRequest.encode(request).finish()),
          requestDeserialize: (bytes: Buffer) => StreamImagesRequest.decode(bytes),
          responseSerialize: (response: StreamImagesResponse) =>
            Buffer.from(StreamImagesResponse.encode(response).finish()),
          responseDeserialize: (bytes: Buffer) => StreamImagesResponse.decode(bytes),
        },
        imageFsInfo: {
          path: '/runtime.v1.ImageService/ImageFsInfo',
          requestStream: false,
          responseStream: false,
          requestSerialize: (bytes: Buffer) => bytes,
          requestDeserialize: (bytes: Buffer) => bytes,
          responseSerialize: (response: ImageFsInfoResponse) =>
            Buffer.from(ImageFsInfoResponse.encode(response).finish()),
          responseDeserialize: (bytes: Buffer) => ImageFsInfoResponse.decode(bytes),
        },
      },
      {
        streamImages: (call: ListCall) => answer(call),
        imageFsInfo: (_call: unknown, reply: (error: null, value: ImageFsInfoResponse) => void) =>
          reply(null, ImageFsInfoResponse.fromPartial({})),
      },
    );
    const endpoint = `unix://${path.join(stack.dir, 'streams.sock')}`;
    await new Promise<void>((resolve, reject) => {
      runtime.bindAsync(endpoint, ServerCredentials.createInsecure(), (error) =>
        error == null ? resolve() : reject(error),
      );
    });
    service = new ServiceProcess(stack, 'streams');
    await service.start({ env: { STOWAGE_IMAGE_ENDPOINT: endpoint } });
    client = new Client(`unix://${service.socket}`, credentials.createInsecure());
  });

  afterAll(async () => {
    client.close();
    await service.stop();
    runtime.forceShutdown();
    await stack.down();
  });

  const list = (version: string, image = 'reg.io/app:1') =>
    client.makeServerStreamRequest(
      `/runtime.${version}.ImageService/StreamImages`,
      (request: StreamImagesRequest) => Buffer.from(StreamImagesRequest.encode(request).finish()),
      (bytes: Buffer) => StreamImagesResponse.decode(bytes),
      StreamImagesRequest.fromPartial({ filter: { image: { image } } }),
    );
  const part = (...ids: string[]) =>
    StreamImagesResponse.fromPartial({ images: ids.map((id) => ({ id })) });

  it.each(['v1', 'v1alpha2'])('hands on each part as it comes, in %s', async (version) => {
    let asked: ListCall | undefined;
    answer = (call) => {
      asked = call;
      call.write(part('a', 'b'));
    };
    const listing = list(version);
    expect(await once(listing, 'data')).toMatchObject([{ images: [{ id: 'a' }, { id: 'b' }] }]);
    expect(asked?.request.filter?.image?.image).toBe('reg.io/app:1');
    asked?.write(part('c'));
    expect(await once(listing, 'data')).toMatchObject([{ images: [{ id: 'c' }] }]);
    const status = once(listing, 'status');
    asked?.end();
    expect(await status).toMatchObject([{ code: 0 }]);
  });

  it("keeps the runtime's code and message in the middle of a list", async () => {
    answer = (call) => {
      call.write(part('a'));
      call.emit('error', { code: 9, details: 'the store is locked: 5%' });
    };
    const listing = list('v1');
    listing.resume();
    const [error] = (await once(listing, 'error')) as [ServiceError];
    expect([error.code, error.details]).toEqual([9, 'the store is locked: 5%']);
  });

  it('ends at the runtime when the caller leaves', async () => {
    let cancelled: Promise<unknown> | undefined;
    answer = (call) => {
      cancelled = once(call, 'cancelled');
      call.write(part('a'));
    };
    const listing = list('v1');
    listing.on('error', () => undefined);
    await once(listing, 'data');
    listing.cancel();
    await cancelled;
  });
});
