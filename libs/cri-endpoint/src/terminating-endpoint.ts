import http2 from 'node:http2';
import { toGrpcStatus } from '@stowage/errors';
import { awaitAuthority, type AwaitedClient } from './any-authority';
import type { CallInFlight } from './call-in-flight';
import { CallTap, type ObservedBytes } from './call-tap';
import { checkedCall, refusedCall } from './checked-call';
import { isEndlessStream } from './endless-streams';
import { defaultReaderLimits } from './connection-reader';
import { forwardCall, type ForwardResult } from './forward-call';
import { frameMessage } from './grpc-wire';
import { IdleWait } from './idle-wait';
import { listenUnix } from './listen-unix';
import type {
  CallObserver,
  CallSummary,
  Endpoint,
  EndpointStats,
  LetGoReason,
  ListenOptions,
  ObservedCall,
  UnaryHandler,
} from './types';
import { OneATurn } from './one-a-turn';
import { unaryCall } from './unary-call';
import { sessionLimits, sessionSettings, UpstreamSessions, widenWindow } from './upstream-sessions';

/** What {@link createTerminatingEndpoint} serves and where it sends the rest. */
export interface TerminatingEndpointOptions extends ListenOptions {
  readonly upstream: {
    /** Socket path of the runtime that answers `method`; what it throws becomes the status of the call. */
    address(method: string): string;
    /** Path to ask the runtime for instead of `method`; default: the same. */
    path?(method: string): string;
  };
  /**
   * Methods answered here, by path in the `runtime.v1` package; `runtime.v1alpha2` paths reach the same handler.
   * Every other method is forwarded, known or not.
   */
  readonly handlers: Readonly<Record<string, UnaryHandler>>;
  /**
   * Asked for every call that is forwarded, before it is. What it throws becomes the status of the call; what it
   * returns looks at the request message (a unary call then, read whole and at most `maxRequestBytes` long) and may
   * throw as well.
   */
  admit?(method: string): RequestCheck | undefined;
  /** Whether the messages of `method` are wanted in {@link onCall}; asked once a call. */
  observe?(method: string): boolean;
  /** An observed call has ended, however it was answered; called after the client has been sent its end. */
  onCall?(call: ObservedCall): void;
  /** Largest message that is copied for {@link onCall}; default 1 MiB. All of a connection: 16 MiB. */
  readonly maxObservedMessageBytes?: number;
  /** Text of UNAVAILABLE when nobody answers `method`, or undefined for the socket's own error. */
  unavailableReason(method: string): string | undefined;
  readonly calls?: CallObserver;
  /** Largest request message of a call that is handled or checked here, in bytes; default 64 MiB. */
  readonly maxRequestBytes?: number;
  /** Word for this service in the status of calls that its closing cuts short; default `endpoint`. */
  readonly service?: string;
}

/** Looks at a request message before it is forwarded; what it throws becomes the status of the call. */
export type RequestCheck = (request: Uint8Array) => void;

const defaultMaxRequestBytes = 64 * 1024 * 1024;

/**
 * An endpoint that terminates HTTP/2 (`node:http2`): some methods are handled here, every other one is forwarded
 * stream to stream. Use it where a call must be changed; the piped endpoint is cheaper where it need not.
 * Rejects as {@link listenUnix} does.
 */
export async function createTerminatingEndpoint(
  options: TerminatingEndpointOptions,
): Promise<Endpoint> {
  const { upstream, calls } = options;
  const service = options.service ?? 'endpoint';
  const maxRequestBytes = options.maxRequestBytes ?? defaultMaxRequestBytes;
  const maxObservedBytes =
    options.maxObservedMessageBytes ?? defaultReaderLimits.maxObservedMessageBytes;
  const handlers = new Map(Object.entries(options.handlers));
  const sessions = new UpstreamSessions();
  const clients = new Set<http2.ServerHttp2Session>();
  /** Clients whose first request has not come. */
  const awaited = new Set<AwaitedClient>();
  const inFlight = new Map<http2.ServerHttp2Stream, CallInFlight>();
  /** Of those in flight, the ones that nobody can wait for. */
  const endless = new Set<http2.ServerHttp2Stream>();
  /** Of those in flight, the ones that are observed: what ends that before the call has ended. */
  const observed = new Map<http2.ServerHttp2Stream, () => void>();
  const drained = new IdleWait(
    () => inFlight.size === 0 && clients.size === 0 && awaited.size === 0,
  );
  const turns = new OneATurn();
  const letGo: Partial<Record<LetGoReason, number>> = {};
  let accepted = 0;
  let observing = true;

  const server = http2.createServer({ settings: sessionSettings, ...sessionLimits });

  server.on('session', (session) => {
    clients.add(session);
    widenWindow(session);
    session.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('ERR_HTTP2') === true) letGo.protocol = (letGo.protocol ?? 0) + 1;
    });
    session.once('close', () => {
      clients.delete(session);
      settle();
    });
  });
  server.on('sessionError', () => undefined);

  server.on('stream', (...args: unknown[]) => {
    const [stream, headers, flags, rawHeaders] = args as [
      http2.ServerHttp2Stream,
      http2.IncomingHttpHeaders,
      number,
      string[],
    ];
    const method = headers[':path'] ?? '';
    const startedAt = Date.now();
    const began = performance.now();
    if (isEndlessStream(method)) endless.add(stream);
    const tap = isObserved(method) ? new CallTap(maxObservedBytes, budgetOf(stream)) : undefined;
    const report = (end: Pick<ObservedCall, 'outcome' | 'grpcStatus' | 'grpcMessage'>): void => {
      if (tap === undefined || !observed.delete(stream)) return;
      const call = { method, ...end, ...tap.end(), startedAt };
      notify(() => options.onCall?.({ ...call, durationMs: performance.now() - began }));
    };
    if (tap !== undefined) observed.set(stream, () => report({ outcome: 'unobserved' }));
    notify(() => calls?.started?.(method));
    const ended = (
      servedBy: CallSummary['servedBy'],
      result: Omit<ForwardResult, 'upstreamMs'>,
      waitedMs: number,
    ): void => {
      inFlight.delete(stream);
      endless.delete(stream);
      const durationMs = performance.now() - began;
      const { outcome, grpcStatus, grpcMessage, requestBytes, responseBytes } = result;
      notify(() =>
        calls?.ended?.({
          method,
          servedBy,
          outcome,
          grpcStatus,
          requestBytes,
          responseBytes,
          startedAt,
          durationMs,
          ownMs: Math.max(0, durationMs - waitedMs),
        }),
      );
      report({ outcome, grpcStatus, grpcMessage });
      settle();
    };

    const handler = headers[':method'] === 'POST' ? handlers.get(inV1(method)) : undefined;
    if (handler !== undefined) {
      const call = unaryCall(stream, headers, method, handler, maxRequestBytes, turns, (result) =>
        ended('local', result, 0),
      );
      inFlight.set(stream, call);
      return;
    }
    const refuse = (error: unknown): void => {
      const { code, message } = toGrpcStatus(error);
      inFlight.set(
        stream,
        refusedCall(stream, code, message, (result) => ended('local', result, 0)),
      );
    };
    const forward = (body?: Buffer): void => {
      let route: { path: string; address: string };
      try {
        route = { path: upstream.path?.(method) ?? method, address: upstream.address(method) };
      } catch (error) {
        refuse(error);
        return;
      }
      const call = forwardCall(
        {
          stream,
          headers,
          flags,
          rawHeaders,
          ...route,
          body,
          tap,
          unavailableReason: () => options.unavailableReason(method),
        },
        sessions,
        (result) => ended('runtime', result, result.upstreamMs),
      );
      inFlight.set(stream, call);
    };
    let check: RequestCheck | undefined;
    try {
      check = options.admit?.(method);
    } catch (error) {
      refuse(error);
      return;
    }
    if (check === undefined) {
      forward();
      return;
    }
    const call = checkedCall(stream, headers, method, maxRequestBytes, check, {
      admitted: (message) => forward(frameMessage(message)),
      refused: (result) => ended('local', result, 0),
    });
    inFlight.set(stream, call);
  });

  const budgets = new WeakMap<http2.Http2Session, ObservedBytes>();
  const budgetOf = ({ session }: http2.ServerHttp2Stream): ObservedBytes => {
    const budget = (session && budgets.get(session)) ?? {
      held: 0,
      max: defaultReaderLimits.maxObservedConnectionBytes,
    };
    if (session !== undefined) budgets.set(session, budget);
    return budget;
  };
  const isObserved = (method: string): boolean => {
    try {
      return observing && (options.observe?.(method) ?? false);
    } catch {
      return false;
    }
  };

  const settle = (): void => drained.look();

  const listener = await listenUnix(options, (socket) => {
    accepted++;
    const leave = (): void => {
      awaited.delete(client);
      settle();
    };
    const client = awaitAuthority(socket, defaultReaderLimits, (connection) => {
      socket.off('close', leave);
      server.emit('connection', connection);
      leave();
    });
    awaited.add(client);
    socket.once('close', leave);
  });

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await listener.close();
    for (const client of awaited) client.release();
    for (const session of clients) session.close();
    for (const stream of endless) inFlight.get(stream)?.stop(service);
    await drained.ended();
    for (const call of inFlight.values()) call.stop(service);
    await Promise.all([...clients].map(flushed));
    for (const session of clients) session.destroy();
    sessions.close();
  };
  return {
    socketPath: listener.socketPath,
    stopObserving: () => {
      observing = false;
      for (const end of [...observed.values()]) end();
    },
    close: ({ drainMs = 0 } = {}) => {
      drained.limit(drainMs);
      return (closing ??= close());
    },
    stats: (): EndpointStats => ({
      acceptedConnections: accepted,
      openConnections: clients.size + awaited.size,
      callsInFlight: inFlight.size,
      letGo: { ...letGo },
    }),
  };
}

/** The same method in the `runtime.v1` package. */
function inV1(method: string): string {
  return method.startsWith('/runtime.v1alpha2.')
    ? `/runtime.v1.${method.slice('/runtime.v1alpha2.'.length)}`
    : method;
}

/** Waits, at most briefly, until what was answered last has left the process. */
async function flushed(session: http2.ServerHttp2Session): Promise<void> {
  if (session.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, 100);
    session.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function notify(report: () => void): void {
  try {
    report();
  } catch {
    // An observer's failure must not touch the call.
  }
}
