import { Client, credentials, type ServiceError } from '@grpc/grpc-js';

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** One unary call by path, as any gRPC client makes it; rejects with grpc-js's error. */
export function callPath<Q, S>(
  socket: string,
  path: string,
  request: Pick<Codec<Q>, 'encode'>,
  response: Pick<Codec<S>, 'decode'>,
  message: Q,
): Promise<S> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  return new Promise<S>((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (value: Q) => Buffer.from(request.encode(value).finish()),
      (bytes: Buffer) => response.decode(bytes),
      message,
      (error: ServiceError | null, reply?: S) => {
        if (error == null && reply !== undefined) resolve(reply);
        else reject(error ?? new Error('no reply'));
      },
    );
  }).finally(() => client.close());
}
