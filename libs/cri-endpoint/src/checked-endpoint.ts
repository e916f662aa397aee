import { UnimplementedError } from '@stowage/errors';
import { PipeClient } from './checked/pipe-client';
import { lookMs, type PipeHost } from './checked/pipe-host';
import { ClientShares } from './client-share';
import { connectionLimit } from './connection-limit';
import { defaultReaderLimits } from './connection-reader';
import { IdleWait } from './idle-wait';
import { listenUnix } from './listen-unix';
import { notify } from './notify';
import type { TerminatingEndpointOptions } from './terminating-endpoint';
import { ReadBuffer } from './read-buffer';
import { readInto } from './read-into';
import { TurnQueue } from './turn-queue';
import type { DetachReason, Endpoint, EndpointStats } from './types';

/** What {@link createCheckedEndpoint} serves and where it sends the rest. */
export interface CheckedEndpointOptions extends TerminatingEndpointOptions {
  /** The most clients at a time; default: {@link connectionLimit}. */
  readonly maxConnections?: number;
}

/** Longest part of a path that an error message repeats. */
const maxNamedChars = 200;
const defaultMaxRequestBytes = 64 * 1024 * 1024;
/**
 * What one read of a client returns at most: requests are small, and this is kept for each client,
 * however little it does.
 */
const clientReadBytes = 4 * 1024;
/** How long clients may take to close after the last frame. */
const lingerMs = 1_500;

/**
 * An endpoint that gives each call a verdict: it is forwarded, refused, forwarded once its request
 * was looked at, or answered by a handler. Nothing that a client sends reaches the runtime unless
 * it was understood and written anew; replies of the runtime pass as they are. Rejects as
 * `listenUnix` does.
 */
export async function createCheckedEndpoint(options: CheckedEndpointOptions): Promise<Endpoint> {
  const { upstream, calls, observer, maxConnections = connectionLimit() } = options;
  const maxRequestBytes = options.maxRequestBytes ?? defaultMaxRequestBytes;
  const clients = new Set<PipeClient>();
  const drained = new IdleWait(() => clients.size === 0);
  let lingering: IdleWait | undefined;
  const detached: Partial<Record<DetachReason, number>> = {};
  let accepted = 0;
  let givenUp = 0;
  let observing = true;

  const host: PipeHost = {
    service: options.service ?? 'endpoint',
    maxRequestBytes,
    handlers: new Map(Object.entries(options.handlers)),
    shares: new ClientShares(maxRequestBytes),
    turns: new TurnQueue(),
    address(method) {
      if (upstream !== undefined) return upstream.address(method);
      const name = method.slice(0, maxNamedChars);
      throw new UnimplementedError(name, `not implemented by ${host.service}`);
    },
    path: (method) => upstream?.path?.(method) ?? method,
    admit: (method) => options.admit?.(method),
    unreadLimitMs: (method) => options.unreadLimitMs?.(method),
    unavailableReason: (method) => options.unavailableReason?.(method),
    maxObservedBytes:
      options.maxObservedMessageBytes ?? defaultReaderLimits.maxObservedMessageBytes,
    observes: (method) => {
      if (!observing || observer === undefined) return false;
      let isObserved = false;
      notify(() => {
        isObserved = observer.observes(method);
        if (isObserved) observer.started?.(method);
      });
      return isObserved;
    },
    requested: (method, request) => notify(() => observer?.requested?.(method, request)),
    observed: (call) => notify(() => observer?.ended(call)),
    callStarted: (method) => notify(() => calls?.started?.(method)),
    callEnded: (call) => notify(() => calls?.ended?.(call)),
    detached: (reason) => {
      detached[reason] = (detached[reason] ?? 0) + 1;
    },
    givenUp: (address, reason) => {
      givenUp++;
      notify(() => options.onGivenUp?.(address, reason));
    },
    gone: (client) => {
      clients.delete(client);
      drained.look();
      lingering?.look();
    },
  };

  const watch = setInterval(() => {
    for (const client of [...clients]) client.look();
  }, lookMs);
  watch.unref();

  /** The client that has been there longest without a call in flight makes room for a new one. */
  const makeRoom = (): boolean => {
    for (const client of clients) {
      if (client.callCount > 0) continue;
      client.stop();
      client.destroy();
      // Its end is noticed later, maybe after the next client.
      host.gone(client);
      return true;
    }
    return false;
  };

  let draining = false;
  const listener = await listenUnix(options, (socket) => {
    accepted++;
    if (clients.size >= maxConnections && !makeRoom()) {
      socket.destroy();
      return;
    }
    const received = new ReadBuffer(clientReadBytes, clientReadBytes);
    const client = new PipeClient(readInto(socket, received), received, host);
    clients.add(client);
    if (draining) client.drain();
  }).catch((error: unknown) => {
    clearInterval(watch);
    throw error;
  });

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await listener.close();
    draining = true;
    for (const client of [...clients]) client.drain();
    await drained.ended();
    for (const client of [...clients]) client.stop();
    lingering = new IdleWait(() => clients.size === 0);
    lingering.limit(lingerMs);
    await lingering.ended();
    for (const client of [...clients]) client.destroy();
    clearInterval(watch);
  };
  return {
    socketPath: listener.socketPath,
    stopObserving: () => {
      observing = false;
      for (const client of clients) client.stopObserving();
    },
    close: ({ drainMs = 0 } = {}) => {
      drained.limit(drainMs);
      return (closing ??= close());
    },
    stats: (): EndpointStats => ({
      acceptedConnections: accepted,
      openConnections: clients.size,
      callsInFlight: [...clients].reduce((sum, { callCount }) => sum + callCount, 0),
      detached: { ...detached },
      upstreamsGivenUp: givenUp,
    }),
  };
}
