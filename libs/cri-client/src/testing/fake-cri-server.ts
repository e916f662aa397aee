import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { ImageServiceDefinition, RuntimeServiceDefinition } from '@stowage/cri-proto';
import { methodPath, type CriVersion } from '@stowage/cri-proto/paths';
import { grpcStatusCode, type GrpcStatusName } from '@stowage/errors';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { MethodDefinition } from '../method-rules';

/** A call as it reached the server. */
export interface ReceivedCall {
  /** For example `/runtime.v1.RuntimeService/Version`. */
  readonly path: string;
  readonly request: unknown;
  readonly authority: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds until the deadline that the client sent; absent without one. */
  readonly timeoutMs?: number;
  /** Aborted when the client cancelled the call, or its connection ended. */
  readonly signal: AbortSignal;
}

/** A status for a handler to throw. */
export class FakeStatus extends Error {
  constructor(
    readonly status: GrpcStatusName,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Answers a unary call with a (partial) response, or a streaming one with the messages it yields.
 */
export type FakeHandler = (call: ReceivedCall) => unknown;

export interface FakeCriServerOptions {
  /**
   * By wire name, for example `ListImages`. The rest is UNIMPLEMENTED, but for the calls that probe
   * the version.
   */
  readonly handlers?: Readonly<Record<string, FakeHandler>>;
  /** Packages served; `['v1']` when not given. */
  readonly packages?: readonly CriVersion[];
}

/** A place for a socket that goes away with the test. */
export function temporarySocket(): { path: string; remove(): void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-cri-'));
  return {
    path: path.join(folder, 'cri.sock'),
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

type AnyMethod = MethodDefinition<unknown, unknown>;

const services = [RuntimeServiceDefinition, ImageServiceDefinition];

const probeHandlers: Readonly<Record<string, FakeHandler>> = {
  Version: () => ({
    version: '0.1.0',
    runtimeName: 'fake',
    runtimeVersion: '1.2.3',
    runtimeApiVersion: 'v1',
  }),
  ImageFsInfo: () => ({ imageFilesystems: [] }),
};

/** A runtime for tests: real gRPC on a unix socket, with answers and faults as the test says. */
export class FakeCriServer {
  /** Every call that arrived, in order; calls of packages not served are not among them. */
  readonly calls: ReceivedCall[] = [];
  readonly handlers: Record<string, FakeHandler>;
  readonly #grpc = new Server({ 'grpc.max_receive_message_length': -1 });
  readonly #injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
  readonly #sockets = new Set<Socket>();
  readonly #listener: NetServer = createServer((socket) => {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    this.#injector.injectConnection(socket);
  });

  private constructor(
    readonly socketPath: string,
    options: FakeCriServerOptions,
  ) {
    this.handlers = { ...probeHandlers, ...options.handlers };
    for (const pkg of options.packages ?? ['v1']) {
      for (const service of services) {
        for (const method of Object.values<unknown>(service.methods) as AnyMethod[]) {
          this.#register(methodPath(service.name, method.name, pkg), method);
        }
      }
    }
  }

  static async start(
    socketPath: string,
    options: FakeCriServerOptions = {},
  ): Promise<FakeCriServer> {
    const fake = new FakeCriServer(socketPath, options);
    await new Promise<void>((resolve, reject) => {
      fake.#listener.once('error', reject).listen(socketPath, resolve);
    });
    return fake;
  }

  /**
   * Ends all connections at once and removes the socket, as the kernel does for a runtime that is
   * killed.
   */
  kill(): void {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#injector.destroy();
    this.#grpc.forceShutdown();
  }

  /**
   * Takes no new connections, says GOAWAY on the present ones and lets the calls on them end, for
   * ever if need be.
   */
  drain(): void {
    this.#listener.close();
    this.#injector.drain(3_600_000);
  }

  /** The calls of one method. */
  callsOf(method: string): ReceivedCall[] {
    return this.calls.filter((call) => call.path.endsWith(`/${method}`));
  }

  #register(callPath: string, method: AnyMethod): void {
    const serialize = (response: unknown) =>
      Buffer.from(method.responseType.encode(response).finish());
    const deserialize = (bytes: Buffer) => method.requestType.decode(bytes);
    const answer = (partial: unknown) => method.responseType.fromPartial(partial as object);
    if (method.responseStream) {
      this.#grpc.register(
        callPath,
        (call: ServerWritableStream<unknown, unknown>) => {
          void this.#stream(callPath, method.name, call, answer);
        },
        serialize,
        deserialize,
        'serverStream',
      );
    } else {
      this.#grpc.register(
        callPath,
        (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
          void this.#unary(callPath, method.name, call, callback, answer);
        },
        serialize,
        deserialize,
        'unary',
      );
    }
  }

  async #unary(
    callPath: string,
    name: string,
    call: ServerUnaryCall<unknown, unknown>,
    callback: sendUnaryData<unknown>,
    answer: (partial: unknown) => unknown,
  ): Promise<void> {
    try {
      const response = answer(await this.#handler(name)(this.#receive(callPath, call)));
      callback(null, response);
    } catch (error) {
      callback(wireError(error));
    }
  }

  async #stream(
    callPath: string,
    name: string,
    call: ServerWritableStream<unknown, unknown>,
    answer: (partial: unknown) => unknown,
  ): Promise<void> {
    try {
      const received = this.#receive(callPath, call);
      for await (const message of this.#handler(name)(received) as AsyncIterable<unknown>) {
        if (received.signal.aborted) return;
        call.write(answer(message));
      }
      call.end();
    } catch (error) {
      call.emit('error', wireError(error));
    }
  }

  #handler(name: string): FakeHandler {
    const handler = this.handlers[name];
    if (handler === undefined) {
      throw new FakeStatus('UNIMPLEMENTED', `method ${name} not implemented`);
    }
    return handler;
  }

  #receive(
    callPath: string,
    call: ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>,
  ): ReceivedCall {
    const gone = new AbortController();
    call.on('cancelled', () => {
      gone.abort();
    });
    const deadline = call.getDeadline();
    const received: ReceivedCall = {
      path: callPath,
      request: call.request,
      authority: call.getHost(),
      headers: Object.fromEntries(
        Object.entries(call.metadata.getMap()).map(([key, value]) => [key, value.toString()]),
      ),
      timeoutMs: deadline === Infinity ? undefined : Number(deadline) - Date.now(),
      signal: gone.signal,
    };
    this.calls.push(received);
    return received;
  }
}

function wireError(error: unknown): { code: number; details: string } {
  return error instanceof FakeStatus
    ? { code: grpcStatusCode[error.status], details: error.message }
    : { code: grpcStatusCode.INTERNAL, details: String(error) };
}

/**
 * Accepts connections on a unix socket and never says a word, as a runtime that is stopped or hung.
 */
export async function startSilentServer(
  socketPath: string,
): Promise<{ connections(): number; close(): void }> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server: NetServer = createServer((socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.resume();
  });
  await new Promise<void>((resolve) => {
    server.listen(socketPath, resolve);
  });
  return {
    connections: () => accepted,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
