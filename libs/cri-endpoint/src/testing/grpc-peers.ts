// A gRPC server and client of @grpc/grpc-js with raw bytes as messages, to stand on either side of
// an endpoint.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import net from 'node:net';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { eventually } from '@stowage/testing';

/** What the test server saw of one call. */
export interface SeenCall {
  readonly method: string;
  readonly metadata: grpc.Metadata;
  deadline: grpc.Deadline;
  cancelled: boolean;
  requestBytes: number;
}

const raw = (bytes: Buffer): Buffer => bytes;
const definition = (
  name: string,
  streams: { request?: boolean; response?: boolean } = {},
): grpc.MethodDefinition<Buffer, Buffer> => ({
  path: name,
  requestStream: streams.request ?? false,
  responseStream: streams.response ?? false,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});

/** Messages that nothing on the way may limit. */
const unlimited = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
};

/**
 * Methods of the test server. `Echo` answers its request and metadata; `Fail` with the status of
 * its metadata; `Hang` never answers; `Big` answers as many bytes as its request says; `Count`
 * streams that many messages; `Sum` adds up the bytes of a client stream; `Chat` echoes message by
 * message; `HeaderThenHang` sends headers and one message, then waits; `FailEarly` fails before the
 * request has ended; `Events` sends as many messages as its request says and then waits for more,
 * as the runtime's event stream does.
 */
const service = {
  Echo: definition('/runtime.v1.RuntimeService/Echo'),
  Fail: definition('/runtime.v1.RuntimeService/Fail'),
  Hang: definition('/runtime.v1.RuntimeService/Hang'),
  Big: definition('/runtime.v1.RuntimeService/Big'),
  Count: definition('/runtime.v9.FutureService/Count', { response: true }),
  Sum: definition('/runtime.v9.FutureService/Sum', { request: true }),
  Chat: definition('/runtime.v9.FutureService/Chat', { request: true, response: true }),
  FailEarly: definition('/runtime.v9.FutureService/FailEarly', { request: true, response: true }),
  Events: definition('/runtime.v1.RuntimeService/GetContainerEvents', { response: true }),
  HeaderThenHang: definition('/runtime.v9.FutureService/HeaderThenHang', { response: true }),
} as const;

/** Name of a method of the test server. */
export type TestMethod = keyof typeof service;

/** Path of a method of the test server. */
export const methodPath = (method: TestMethod): string => service[method].path;

/** A running test server. */
export interface TestServer {
  readonly socketPath: string;
  readonly seen: SeenCall[];
  /** Messages that `Count` wrote and the client has not taken yet are not counted. */
  written(): number;
  /** Ends it as a killed process ends: the connections drop. */
  kill(): void;
  /** Ends it as a gRPC server stops gracefully: GOAWAY, calls in flight may end. */
  stop(): void;
}

/** Starts a gRPC server on a unix socket. */
export async function startTestServer(socketPath: string): Promise<TestServer> {
  const seen: SeenCall[] = [];
  let written = 0;
  const note = (
    call: grpc.ServerUnaryCall<Buffer, Buffer> | grpc.ServerDuplexStream<Buffer, Buffer>,
  ) => {
    const entry: SeenCall = {
      method: call.getPath(),
      metadata: call.metadata,
      deadline: call.getDeadline(),
      cancelled: false,
      requestBytes: 'request' in call ? call.request.length : 0,
    };
    call.on('cancelled', () => (entry.cancelled = true));
    seen.push(entry);
    return entry;
  };
  const anyCall = note as (call: unknown) => SeenCall;
  const server = new grpc.Server(unlimited);
  const implementation: grpc.UntypedServiceImplementation = {
    Echo: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
      anyCall(call);
      const headers = new grpc.Metadata();
      headers.set('x-server', 'head');
      for (const value of call.metadata.get('x-several')) headers.add('x-several', value);
      for (const value of call.metadata.get('x-bytes-bin')) headers.add('x-bytes-bin', value);
      call.sendMetadata(headers);
      const trailers = new grpc.Metadata();
      trailers.set('x-trailer', 'tail');
      callback(null, call.request, trailers);
    },
    Fail: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
      anyCall(call);
      const metadata = new grpc.Metadata();
      metadata.set('x-why', 'because');
      const failure: object = {
        code: Number(call.metadata.get('x-code')[0]),
        details: call.request.toString('utf8'),
        metadata,
      };
      callback(failure);
    },
    Hang: (call: grpc.ServerUnaryCall<Buffer, Buffer>) => void anyCall(call),
    Big: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
      anyCall(call);
      callback(null, patterned(Number(call.request.toString())));
    },
    Count: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      const entry = anyCall(call);
      const [count = 0, bytes = 1] = call.request.toString().split(' ').map(Number);
      void (async () => {
        for (let i = 0; i < count && !entry.cancelled; i++) {
          const message = Buffer.alloc(bytes);
          message.write(String(i));
          written++;
          if (!call.write(message)) await new Promise((resolve) => call.once('drain', resolve));
        }
        call.end();
      })();
    },
    Sum: (
      call: grpc.ServerReadableStream<Buffer, Buffer>,
      callback: grpc.sendUnaryData<Buffer>,
    ) => {
      anyCall(call);
      let sum = 0;
      call.on('data', (message: Buffer) => (sum += message.length));
      call.on('end', () => callback(null, Buffer.from(String(sum))));
    },
    Chat: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      anyCall(call);
      call.on('data', (message: Buffer) => call.write(message));
      call.on('end', () => call.end());
    },
    FailEarly: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      anyCall(call);
      call.emit('error', { code: 9, details: 'too early' });
    },
    Events: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      anyCall(call);
      for (let i = 0; i < Number(call.request.toString()); i++)
        call.write(Buffer.from(`event ${i}`));
    },
    HeaderThenHang: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      anyCall(call);
      call.write(Buffer.from('first'));
    },
  };
  server.addService(service, implementation);
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const sockets = new Set<net.Socket>();
  const listener = net.createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    injector.injectConnection(socket);
  });
  await new Promise<void>((resolve) => listener.listen(socketPath, resolve));
  return {
    socketPath,
    seen,
    written: () => written,
    kill: () => {
      listener.close();
      rmSync(socketPath, { force: true });
      for (const socket of sockets) socket.destroy();
      server.forceShutdown();
    },
    stop: () => {
      listener.close();
      injector.drain(10_000);
    },
  };
}

/** Bytes that differ from place to place, so that a lost or swapped chunk shows. */
export function patterned(bytes: number): Buffer {
  const out = Buffer.alloc(bytes);
  for (let i = 0; i + 4 <= bytes; i += 4) out.writeUInt32LE((i * 2654435761) >>> 0, i);
  return out;
}

/** How a call ended for the client. */
export interface ClientResult {
  readonly message?: Buffer;
  readonly messages: Buffer[];
  readonly code: number;
  readonly details: string;
  readonly headers?: grpc.Metadata;
  readonly trailers: grpc.Metadata;
}

/** A gRPC client on a unix socket. */
export class TestClient {
  readonly #client: grpc.Client;

  /**
   * @param authority what is sent as `:authority`; Go clients before Kubernetes 1.31 send the
   * socket path.
   */
  constructor(socketPath: string, authority = 'localhost') {
    this.#client = new grpc.Client(`unix:${socketPath}`, grpc.credentials.createInsecure(), {
      ...unlimited,
      'grpc.default_authority': authority,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 20,
      'grpc.max_reconnect_backoff_ms': 50,
    });
  }

  unary(
    method: string,
    message: Buffer | string = '',
    { metadata = {}, ...options }: grpc.CallOptions & { metadata?: MetadataInit } = {},
    started?: (call: grpc.ClientUnaryCall) => void,
  ): Promise<ClientResult> {
    return new Promise((resolve) => {
      let headers: grpc.Metadata | undefined;
      let answer: Buffer | undefined;
      const call = this.#client.makeUnaryRequest(
        method,
        raw,
        raw,
        Buffer.from(message),
        metadataOf(metadata),
        options,
        (_error, value) => (answer = value),
      );
      call.on('metadata', (received) => (headers = received));
      call.on('status', (status) =>
        // The message callback comes after 'status'.
        setImmediate(() =>
          resolve({
            message: answer,
            messages: [],
            code: status.code,
            details: status.details,
            headers,
            trailers: status.metadata,
          }),
        ),
      );
      started?.(call);
    });
  }

  serverStream(
    method: string,
    message: Buffer | string,
    onMessage?: (call: grpc.ClientReadableStream<Buffer>, message: Buffer) => void,
  ): Promise<ClientResult> {
    const call = this.#client.makeServerStreamRequest(method, raw, raw, Buffer.from(message));
    return ended(call, onMessage);
  }

  /** A server stream that is not read until the caller does. */
  openStream(method: string, message: string): grpc.ClientReadableStream<Buffer> {
    return this.#client.makeServerStreamRequest(method, raw, raw, Buffer.from(message));
  }

  clientStream(method: string, messages: readonly Buffer[]): Promise<ClientResult> {
    return new Promise((resolve) => {
      let answer: Buffer | undefined;
      const call = this.#client.makeClientStreamRequest(method, raw, raw, (_error, value) => {
        answer = value;
      });
      call.on('status', (status) =>
        setImmediate(() =>
          resolve({
            message: answer,
            messages: [],
            code: status.code,
            details: status.details,
            trailers: status.metadata,
          }),
        ),
      );
      for (const message of messages) call.write(message);
      call.end();
    });
  }

  bidi(method: string): grpc.ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(method, raw, raw);
  }

  close(): void {
    this.#client.close();
  }
}

/** Collects a stream until its status. */
export function ended(
  call: grpc.ClientReadableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>,
  onMessage?: (call: grpc.ClientReadableStream<Buffer>, message: Buffer) => void,
): Promise<ClientResult> {
  return new Promise((resolve) => {
    const messages: Buffer[] = [];
    let headers: grpc.Metadata | undefined;
    call.on('metadata', (received: grpc.Metadata) => (headers = received));
    call.on('data', (message: Buffer) => {
      messages.push(message);
      onMessage?.(call as grpc.ClientReadableStream<Buffer>, message);
    });
    call.on('error', () => undefined);
    call.on('status', (status: grpc.StatusObject) =>
      setImmediate(() =>
        resolve({
          messages,
          code: status.code,
          details: status.details,
          headers,
          trailers: status.metadata,
        }),
      ),
    );
  });
}

/** A bidirectional stream that has exchanged one message, and its end. */
export async function openChat(client: TestClient) {
  const chat = client.bidi(methodPath('Chat'));
  const end = ended(chat);
  await new Promise((resolve) => {
    chat.once('data', resolve);
    chat.write(Buffer.from('hi'));
  });
  return [chat, end] as const;
}

type MetadataInit = Record<string, string | Buffer | (string | Buffer)[]>;

function metadataOf(init: MetadataInit): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, values] of Object.entries(init)) {
    for (const value of Array.isArray(values) ? values : [values]) metadata.add(name, value);
  }
  return metadata;
}

/** A temporary folder with short paths, for sockets. */
export function temporaryFolder(): { path: string; file(name: string): string; remove(): void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'cri-'));
  return {
    path: folder,
    file: (name) => path.join(folder, name),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Waits until `condition` holds; fails with `what` after half a minute. */
export async function until(
  what: string,
  condition: () => boolean,
  timeoutMs = 30_000,
): Promise<void> {
  await eventually(condition, { what, timeoutMs, intervalMs: 5 });
}
