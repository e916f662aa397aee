import http2 from 'node:http2';
import type net from 'node:net';
import { inVersion } from '@stowage/cri-proto/paths';
import { grpcStatusCode, toGrpcStatus, UnimplementedError } from '@stowage/errors';
import { awaitAuthority, type AwaitedClient } from './any-authority';
import type { CallInFlight } from './call-in-flight';
import { CallTap, type ObservedBytes } from './call-tap';
import { HeldCall, refusedCall } from './checked-call';
import { ClientShare, ClientShares, HeldRequest } from './client-share';
import { isEndlessStream } from './endless-streams';
import { defaultReaderLimits } from './connection-reader';
import { cutUnread } from './cut-unread';
import { dropListeners, ignore } from './drop-listeners';
import { ForwardedCall, type ForwardResult } from './forward-call';
import { frameMessage } from './grpc-wire';
import { IdleWait } from './idle-wait';
import { listenUnix } from './listen-unix';
import { localCall } from './local-call';
import { notify } from './notify';
import type {
  CallListener,
  CallSummary,
  DetachReason,
  Endpoint,
  EndpointStats,
  ListenOptions,
  LocalHandler,
  MessageObserver,
  ObservedCall,
  RequestCheck,
} from './types';
import { TurnQueue } from './turn-queue';
import { SessionWatch } from './session-watch';
import { clientSettings, sessionLimits, UpstreamSessions, widenWindow } from './upstream-sessions';
import { frameHeaderBytes } from './wire/frame-reader';
import { maxStreamId } from './wire/raw-frames';

/** What {@link createTerminatingEndpoint} serves and where it sends the rest. */
export interface TerminatingEndpointOptions extends ListenOptions {
  /** Where calls go that no handler answers; without it these get UNIMPLEMENTED. */
  readonly upstream?: {
    /**
     * Socket path of the runtime that answers `method`; what it throws becomes the status of the
     * call.
     */
    address(method: string): string;
    /** Path to ask the runtime for instead of `method`; default: the same. */
    path?(method: string): string;
  };
  /**
   * Methods answered here, by path in the `runtime.v1` package; `runtime.v1alpha2` paths reach the
   * same handler. Every other method is forwarded, known or not, where there is an upstream.
   */
  readonly handlers: Readonly<Record<string, LocalHandler>>;
  /**
   * Called before each call is forwarded. What it throws becomes the status of the call. It may
   * return a function that checks the one request message (read whole, at most `maxRequestBytes`
   * long): that may throw as well, and otherwise returns the message to forward.
   */
  admit?(method: string): RequestCheck | undefined;
  /**
   * Longest time, in milliseconds, for which an answer that is forwarded, or streamed by a handler,
   * may wait for a client that does not read; then the call is reset. Undefined, the default: no
   * limit for a forwarded call, one minute for one that a handler streams.
   */
  unreadLimitMs?(method: string): number | undefined;
  /**
   * Reads the messages of the calls that it observes; request messages only of calls that are
   * forwarded.
   */
  readonly observer?: MessageObserver;
  /**
   * Largest message that is copied for {@link observer}; default 1 MiB. All of a connection: 16
   * MiB.
   */
  readonly maxObservedMessageBytes?: number;
  /**
   * A connection to the runtime at `address` was stuck; its calls got UNAVAILABLE, and the next
   * call opens another.
   */
  onGivenUp?(address: string, reason: string): void;
  /**
   * Text of UNAVAILABLE when nobody answers `method`; undefined, as by default: the socket's own
   * error.
   */
  unavailableReason?(method: string): string | undefined;
  /** Notified of every call, without its messages. */
  readonly calls?: CallListener;
  /**
   * Largest request message of a call that is handled or checked here, in bytes; default 64 MiB.
   */
  readonly maxRequestBytes?: number;
  /**
   * Name of this service in the status of calls that its closing interrupts; default `endpoint`.
   */
  readonly service?: string;
}

const defaultMaxRequestBytes = 64 * 1024 * 1024;
/** How long a client may neither read nor send while something waits to be sent to it. */
const maxClientStalledMs = 60_000;
/** How long a streamed answer of a handler may wait by default for a client that does not read. */
const maxUnreadStreamMs = 60_000;
/** Longest part of a path that an error message repeats. */
const maxNamedChars = 200;
/** How long calls are accepted that a client began before it had read the GOAWAY. */
const sentAwayMs = 1_000;
/** A frame header and the eight bytes of a PING. */
const pingBytes = frameHeaderBytes + 8;

/**
 * An endpoint that terminates HTTP/2 (`node:http2`): some methods are handled here, every other one
 * is forwarded stream to stream. Use it where a call must be changed; else the piped endpoint is
 * cheaper. Rejects as {@link listenUnix} does.
 */
export async function createTerminatingEndpoint(
  options: TerminatingEndpointOptions,
): Promise<Endpoint> {
  const { upstream, observer, calls } = options;
  const service = options.service ?? 'endpoint';
  const maxRequestBytes = options.maxRequestBytes ?? defaultMaxRequestBytes;
  const maxObservedBytes =
    options.maxObservedMessageBytes ?? defaultReaderLimits.maxObservedMessageBytes;
  const handlers = new Map(Object.entries(options.handlers));
  const shares = new ClientShares(maxRequestBytes);
  const watch = new SessionWatch();
  /** The connections to the runtime, for each client its own. */
  const upstreams = new Set<UpstreamSessions>();
  const clients = new Set<http2.ServerHttp2Session>();
  /** Clients whose first request has not arrived. */
  const awaited = new Set<AwaitedClient>();
  const inFlight = new Map<http2.ServerHttp2Stream, CallInFlight>();
  /** Those in flight that never end by themselves. */
  const endless = new Set<http2.ServerHttp2Stream>();
  /** Those in flight that are observed, each with a function that ends its observation early. */
  const observed = new Map<http2.ServerHttp2Stream, () => void>();
  const drained = new IdleWait(
    () => inFlight.size === 0 && clients.size === 0 && awaited.size === 0,
  );
  const turns = new TurnQueue();
  const detached: Partial<Record<DetachReason, number>> = {};
  let accepted = 0;
  let givenUp = 0;
  let observing = true;

  const server = http2.createServer({ settings: clientSettings, ...sessionLimits });
  server.on('sessionError', () => undefined);

  const serve = (session: http2.ServerHttp2Session, socket: net.Socket): void => {
    const client: Client = {
      share: new ClientShare(shares),
      sessions: new UpstreamSessions({
        watch,
        onGivenUp: (address, reason) => {
          givenUp++;
          notify(() => options.onGivenUp?.(address, reason));
        },
      }),
      sendAway: once(() => {
        if (session.destroyed) return;
        session.goaway(http2.constants.NGHTTP2_NO_ERROR, maxStreamId);
        setTimeout(() => session.close(), sentAwayMs).unref();
      }),
    };
    clients.add(session);
    upstreams.add(client.sessions);
    widenWindow(session);
    session.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('ERR_HTTP2') === true)
        detached.protocol = (detached.protocol ?? 0) + 1;
    });
    session.once('close', () => {
      client.sessions.close();
      upstreams.delete(client.sessions);
      clients.delete(session);
      settle();
    });
    session.on('stream', (...args: unknown[]) => onStream(client, args as StreamArguments));
    watch.add({
      session,
      socket,
      maxStalledMs: maxClientStalledMs,
      probe: (acknowledged) => void session.ping((error) => error ?? acknowledged()),
      acknowledgementBytes: pingBytes,
      onStandstill: (reason) => {
        if (reason === 'ended') detached.protocol = (detached.protocol ?? 0) + 1;
        if (reason === 'stalled') detached.stalled = (detached.stalled ?? 0) + 1;
      },
    });
  };

  const onStream = (client: Client, args: StreamArguments): void => {
    const [stream, headers, flags, rawHeaders] = args;
    const method = headers[':path'] ?? '';
    const startedAt = Date.now();
    const began = performance.now();
    stream.on('error', ignore);
    if (isEndlessStream(method)) endless.add(stream);
    const tap = isObserved(method)
      ? new CallTap(maxObservedBytes, budgetOf(stream), (request) => {
          // The tap is asked before the bytes go on, so that nobody waits for an observer.
          setImmediate(() => notify(() => observer?.requested?.(method, request)));
        })
      : undefined;
    const report =
      tap &&
      ((end: Pick<ObservedCall, 'outcome' | 'grpcStatus' | 'grpcMessage'>): void => {
        if (!observed.delete(stream)) return;
        const call = { method, ...end, ...tap.end(), startedAt };
        notify(() => observer?.ended({ ...call, durationMs: performance.now() - began }));
      });
    if (report !== undefined) {
      observed.set(stream, () => report({ outcome: 'unobserved' }));
      notify(() => observer?.started?.(method));
    }
    notify(() => calls?.started?.(method));
    const ended = (
      servedBy: CallSummary['servedBy'],
      result: Omit<ForwardResult, 'upstreamMs'>,
      waitedMs: number,
    ): void => {
      inFlight.delete(stream);
      endless.delete(stream);
      client.share.callEnded();
      if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR && !client.share.callReset()) {
        client.sendAway();
      }
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
      report?.({ outcome, grpcStatus, grpcMessage });
      dropListeners(stream);
      settle();
    };

    const refuse = ({ code, message }: { code: number; message: string }): void => {
      const call = refusedCall(stream, code, message, (result) => ended('local', result, 0));
      inFlight.set(stream, call);
    };
    const refusal = client.share.callBegan();
    if (refusal !== undefined) {
      refuse({ code: grpcStatusCode.RESOURCE_EXHAUSTED, message: `${service}: ${refusal}` });
      return;
    }
    const held = new HeldRequest(client.share);
    const handler =
      headers[':method'] === 'POST' ? handlers.get(inVersion(method, 'v1')) : undefined;
    if (handler !== undefined) {
      const unreadLimitMs = options.unreadLimitMs?.(method) ?? maxUnreadStreamMs;
      const limits = { maxMessageBytes: maxRequestBytes, unreadLimitMs };
      const call = localCall(
        { stream, headers, method, handler, held, turns, ...limits },
        (result) => ended('local', result, 0),
      );
      inFlight.set(stream, call);
      return;
    }
    if (upstream === undefined) {
      const name = method.slice(0, maxNamedChars);
      refuse(toGrpcStatus(new UnimplementedError(name, `not implemented by ${service}`)));
      return;
    }
    const forward = (body?: Buffer): void => {
      let path: string;
      let address: string;
      try {
        path = upstream.path?.(method) ?? method;
        address = upstream.address(method);
      } catch (error) {
        refuse(toGrpcStatus(error));
        return;
      }
      const unreadLimitMs = options.unreadLimitMs?.(method);
      if (unreadLimitMs !== undefined) cutUnread(stream, unreadLimitMs);
      const call = new ForwardedCall(
        {
          stream,
          headers,
          flags,
          rawHeaders,
          path,
          address,
          body,
          tap,
          unavailableReason() {
            return options.unavailableReason?.(method);
          },
        },
        client.sessions,
        (result) => ended('runtime', result, result.upstreamMs),
      );
      inFlight.set(stream, call);
    };
    let check: RequestCheck | undefined;
    try {
      check = options.admit?.(method);
    } catch (error) {
      refuse(toGrpcStatus(error));
      return;
    }
    if (check === undefined) {
      forward();
      return;
    }
    const maxBytes = maxRequestBytes;
    const call = new HeldCall(
      { stream, headers, method, maxBytes, held, check },
      {
        admitted(message) {
          forward(frameMessage(message));
        },
        refused(result) {
          ended('local', result, 0);
        },
      },
    );
    inFlight.set(stream, call);
  };

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
      return observing && (observer?.observes(method) ?? false);
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
      // Emitted in the same call, if at all.
      const begin = (session: http2.ServerHttp2Session): void => serve(session, socket);
      server.once('session', begin);
      server.emit('connection', connection);
      server.off('session', begin);
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
    for (const sessions of upstreams) sessions.close();
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
      detached: { ...detached },
      upstreamsGivenUp: givenUp,
    }),
  };
}

/** What belongs to one connection of a client. */
interface Client {
  readonly share: ClientShare;
  readonly sessions: UpstreamSessions;
  /** Sends it to a new connection; calls in flight continue on this one. */
  sendAway(): void;
}

/** Arguments of a session's 'stream' event. */
type StreamArguments = [
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];

/** Waits briefly until the last answer has left the process. */
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

function once(run: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    run();
  };
}
