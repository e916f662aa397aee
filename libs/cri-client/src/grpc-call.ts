import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { methodPath, type ServiceName } from '@stowage/cri-proto/paths';
import {
  CancelledError,
  DeadlineExceededError,
  grpcStatusName,
  StowageError,
} from '@stowage/errors';
import { setMaxListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import type { LiveConnection, RuntimeConnection } from './connection';
import { CriError, CriRequestError } from './errors';
import type { MethodDefinition } from './method-rules';

/** One call on the wire. */
export interface GrpcCall {
  readonly connection: RuntimeConnection;
  /** Service name without its package, `RuntimeService`. */
  readonly service: ServiceName;
  readonly method: MethodDefinition<unknown, unknown>;
  /** Name of the call in errors: what the caller called, also where another method serves it. */
  readonly name: string;
  readonly request: unknown;
  readonly signal: AbortSignal | undefined;
  /** Milliseconds the call may take, and when that is over, in milliseconds since 1970. */
  readonly limit: { readonly timeoutMs: number; readonly deadlineAt: number } | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** See {@link MethodRule.endsWithConnection}. */
  readonly endsWithConnection?: boolean;
  /** See {@link CriCallOptions.onSent}. */
  readonly onSent?: () => void;
}

/** Makes a unary call. Throws what {@link callError} makes of the failure. */
export async function callUnary(call: GrpcCall): Promise<unknown> {
  const live = await liveConnection(call);
  const { path, serialize, deserialize, metadata, options } = prepareCall(call, live);
  const { promise, resolve, reject } = withResolvers();
  const wire = live.client.makeUnaryRequest(
    path,
    serialize,
    deserialize,
    call.request,
    metadata,
    options,
    (error, response) => {
      if (error == null) resolve(response);
      else reject(error);
    },
  );
  const release = cancelWith(call, () => {
    wire.cancel();
  });
  // grpc-js writes to the socket before this turn of the event loop ends.
  if (call.onSent !== undefined) void setImmediate().then(call.onSent);
  try {
    return await promise;
  } catch (error) {
    throw await callError(call, live, error);
  } finally {
    release();
  }
}

/** Makes a call that answers with a stream. Leaving the loop cancels it. */
export async function* callStream(
  call: GrpcCall,
  onStarted: ((live: LiveConnection) => void) | undefined,
): AsyncGenerator<unknown, void, undefined> {
  const live = await liveConnection(call);
  const { path, serialize, deserialize, metadata, options } = prepareCall(call, live);
  const wire = live.client.makeServerStreamRequest(
    path,
    serialize,
    deserialize,
    call.request,
    metadata,
    options,
  );
  // The cancellation below makes it report an error that nobody waits for.
  wire.on('error', () => undefined);
  const cancel = () => {
    wire.cancel();
  };
  const release = cancelWith(call, cancel);
  if (call.endsWithConnection === true) {
    live.replaced.addEventListener('abort', cancel, { once: true });
  }
  try {
    onStarted?.(live);
    for await (const message of wire) yield message;
  } catch (error) {
    throw await callError(call, live, error);
  } finally {
    release();
    live.replaced.removeEventListener('abort', cancel);
    wire.cancel();
  }
}

async function liveConnection(call: GrpcCall): Promise<LiveConnection> {
  const { connection, limit, signal } = call;
  if (isAborted(signal)) throw cancelled(call.name, signal);
  try {
    return await connection.live(
      signal,
      limit === undefined ? undefined : Math.max(0, limit.deadlineAt - Date.now()),
    );
  } catch (error) {
    if (isAborted(signal)) throw cancelled(call.name, signal);
    if (error instanceof StowageError || limit === undefined) throw error;
    throw new DeadlineExceededError(call.name, limit.timeoutMs, { cause: error });
  }
}

function prepareCall(call: GrpcCall, live: LiveConnection) {
  const { method, limit } = call;
  return {
    // v1alpha2 is a wire subset of v1: only the path differs.
    path: methodPath(call.service, method.name, live.version),
    serialize: (request: unknown) => {
      const bytes = method.requestType.encode(request).finish();
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    deserialize: (bytes: Buffer) => method.responseType.decode(bytes),
    metadata: metadataOf(call),
    options: limit === undefined ? {} : { deadline: limit.deadlineAt },
  };
}

function metadataOf(call: GrpcCall): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(call.headers)) {
    try {
      metadata.set(name, value);
    } catch {
      throw new CriRequestError(call.name, `header ${name} has a name or value not allowed`);
    }
  }
  return metadata;
}

function cancelWith(call: GrpcCall, cancel: () => void): () => void {
  const forget = call.connection.endWithClient(cancel);
  // One signal for many calls at once is ordinary use, not a leak to warn of.
  if (call.signal !== undefined) setMaxListeners(0, call.signal);
  call.signal?.addEventListener('abort', cancel, { once: true });
  return () => {
    forget();
    call.signal?.removeEventListener('abort', cancel);
  };
}

/**
 * What a failed call means: given up by the caller, too slow, the runtime gone, or an answer of the runtime, which
 * keeps its status and message.
 */
async function callError(call: GrpcCall, live: LiveConnection, cause: unknown): Promise<unknown> {
  const { connection, limit, name, signal } = call;
  if (isAborted(signal)) return cancelled(name, signal);
  if (connection.isClosed()) return connection.unavailable(cause);
  if (!isServiceError(cause)) return cause;
  const status = grpcStatusName(cause.code);
  if (status === 'DEADLINE_EXCEEDED' && limit !== undefined && Date.now() >= limit.deadlineAt) {
    return new DeadlineExceededError(name, limit.timeoutMs, { cause });
  }
  if (status === 'UNAVAILABLE' || status === 'CANCELLED') {
    // A lost connection is told to its calls and to its watcher in the same turn; see which it was after that.
    // (Some servers, Node's among them, cancel their calls when they are shut down.)
    await setImmediate();
    if (!connection.isLive(live)) return connection.unavailable(cause);
  }
  return new CriError(name, status, cause.details, { cause });
}

function isAborted(signal: AbortSignal | undefined): signal is AbortSignal {
  return signal?.aborted === true;
}

function isServiceError(error: unknown): error is ServiceError {
  return (
    error instanceof Error &&
    typeof (error as Partial<ServiceError>).code === 'number' &&
    typeof (error as Partial<ServiceError>).details === 'string'
  );
}

/** A coded reason, and a time-out of the caller's own, stay what they are. */
function cancelled(method: string, signal: AbortSignal): unknown {
  const reason: unknown = signal.reason;
  if (reason instanceof StowageError) return reason;
  if ((reason as { name?: unknown } | undefined)?.name === 'TimeoutError') return reason;
  return new CancelledError(method, { cause: reason });
}

function withResolvers() {
  let resolve: (value: unknown) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<unknown>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
