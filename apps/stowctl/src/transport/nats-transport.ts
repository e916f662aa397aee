import { setTimeout as pause } from 'node:timers/promises';
import { sendCommand } from '@stowage/commands/client';
import {
  apiFailure,
  askApi,
  jetStreamManager,
  natsConnectSettings,
  type NatsOptions,
} from '@stowage/event-bus/client';
import { errorMessage } from '@stowage/errors';
import {
  eventFilter,
  eventSubjectPrefix,
  parseEvent,
  parseEventSubject,
  streamName,
  type StowageEvent,
} from '@stowage/events';
import { AckPolicy, connect, DeliverPolicy, ErrorCode, nanos, type NatsConnection } from 'nats';
import { CommandFailure } from '../failures';
import { DiscoveredServices } from './discovered-services';
import type { EventQuery, Transport } from './reach';

/** How often a command that is followed is asked over NATS, where a request has one reply. */
const followMs = 1000;

/** How long an unused consumer of events stays on the server. */
const consumerIdleMs = 60_000;
/** How long one request for events is open; a lost consumer is noticed after about as long. */
const pullExpiresMs = 10_000;

/** Connects; a failure says what is wrong with servers or login, without the login. */
export async function openNats(
  options: NatsOptions,
  timeoutMs: number,
  { isLasting = false }: { readonly isLasting?: boolean } = {},
): Promise<NatsConnection> {
  const settings = natsConnectSettings({ ...options, connectTimeoutMs: timeoutMs }, 'stowctl');
  try {
    return await connect({
      ...settings.options,
      // Whoever waits at a terminal wants to know that nobody is there.
      reconnect: true,
      waitOnFirstConnect: false,
      maxReconnectAttempts: isLasting ? -1 : 20,
      ignoreAuthErrorAbort: false,
    });
  } catch (error) {
    const { code } = error as { code?: string };
    const isRefused = code === ErrorCode.AuthorizationViolation || code === '400';
    throw new CommandFailure(
      isRefused
        ? `NATS at ${settings.serversText} refuses this login`
        : `NATS at ${settings.serversText} is not reached: ${reasonOf(error)}`,
      isRefused
        ? 'check --creds, --nkey or the login in --server: deploy/nats has the roles'
        : 'check --server and the firewall; on the node itself stowctl works without NATS',
      { cause: error },
    );
  }
}

const words: Readonly<Record<string, string>> = {
  CONNECTION_REFUSED: 'connection refused',
  TIMEOUT: 'no answer in time',
};

const reasonOf = (error: unknown): string => {
  const { code = '' } = error as { code?: string };
  return words[code] ?? errorMessage(error);
};

/** Any node that NATS reaches. */
export async function natsTransport(
  options: NatsOptions & {
    readonly timeoutMs: number;
    readonly isLasting?: boolean;
    readonly signal: AbortSignal;
  },
): Promise<Transport> {
  const { timeoutMs, isLasting, signal, ...nats } = options;
  const connection = await openNats(nats, timeoutMs, { isLasting });
  const discovered = new DiscoveredServices(connection);
  return {
    allNodes: () => allNodes(connection, discovered, timeoutMs),
    send: (node, command, input, more = {}) =>
      sendCommand(connection, node, command, input, {
        timeoutMs: more.timeoutMs ?? timeoutMs,
        signal,
      }),
    follow: async function* (node, command, input) {
      while (!signal.aborted) {
        yield await sendCommand(connection, node, command, input, { timeoutMs, signal });
        await pause(followMs, undefined, { signal }).catch(() => undefined);
      }
    },
    info: () => Promise.resolve(undefined),
    discovered: (node) => discovered.of(node),
    events: (query) => streamEvents(connection, query, timeoutMs),
    close: () => connection.close(),
  };
}

/**
 * Nodes that have events in the stream, and those whose services answer NATS's service discovery.
 * Where the stream cannot be read, those are all.
 */
async function allNodes(
  connection: NatsConnection,
  discovered: DiscoveredServices,
  timeoutMs: number,
): Promise<string[]> {
  const [stream, services] = await Promise.all([
    nodesOfStream(connection, timeoutMs).catch((error: unknown) => error as Error),
    discovered.all(),
  ]);
  const answering = services.map(({ node }) => node);
  if (stream instanceof Error && answering.length === 0) throw stream;
  return [...new Set([...(stream instanceof Error ? [] : stream), ...answering])].sort();
}

/** Nodes that have events in the stream. */
async function nodesOfStream(connection: NatsConnection, timeoutMs: number): Promise<string[]> {
  const info = await ofStream(() =>
    askApi(async (apiPrefix) => {
      const { streams } = await jetStreamManager(connection, apiPrefix, timeoutMs);
      return streams.info(streamName, { subjects_filter: `${eventSubjectPrefix}.>` });
    }),
  );
  const nodes = Object.keys(info.state.subjects ?? {}).flatMap((subject) => {
    try {
      return [parseEventSubject(subject).node];
    } catch {
      return [];
    }
  });
  return [...new Set(nodes)].sort();
}

async function ofStream<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw new CommandFailure(
      `events cannot be read from stream ${streamName}: ${apiFailure(error).text}`,
      'stowctl doctor --server URL says what is wrong with the stream or the login',
      { cause: error },
    );
  }
}

/** Reads the stream through a consumer of its own, which acknowledges nothing and is removed. */
async function* streamEvents(
  connection: NatsConnection,
  query: EventQuery,
  timeoutMs: number,
): AsyncGenerator<StowageEvent> {
  const { since, follow, signal } = query;
  const filters = filtersOf(query);
  const { consumers, client, name, pending } = await ofStream(() =>
    askApi(async (apiPrefix) => {
      const manager = await jetStreamManager(connection, apiPrefix, timeoutMs);
      const [only, ...others] = filters;
      const isOld = others.length > 0 && !hasManyFilters(connection);
      const made = await manager.consumers.add(streamName, {
        ack_policy: AckPolicy.None,
        mem_storage: true,
        inactive_threshold: nanos(consumerIdleMs),
        ...(since === undefined
          ? { deliver_policy: DeliverPolicy.All }
          : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: since.toISOString() }),
        ...(others.length === 0 || isOld
          ? { filter_subject: isOld ? eventFilter({}) : only }
          : { filter_subjects: filters }),
      });
      return {
        consumers: manager.consumers,
        client: connection.jetstream({ apiPrefix, timeout: timeoutMs }),
        name: made.name,
        pending: made.num_pending,
      };
    }),
  );
  if (pending === 0 && !follow) {
    await consumers.delete(streamName, name).catch(() => undefined);
    return;
  }
  const consumer = await client.consumers.get(streamName, name);
  const messages = await consumer.consume({
    max_messages: 500,
    expires: pullExpiresMs,
    // A server that was restarted, or away for long, does not know the consumer any more.
    abort_on_missing_resource: true,
  });
  const stop = () => void messages.close();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  let isOver = false;
  try {
    for await (const message of messages) {
      if (isOver) continue;
      isOver = !follow && message.info.pending === 0;
      // The client's iterator ends by being read to its end; after a break it would never close.
      if (isOver) stop();
      const event = eventOf(message.data);
      if (event !== undefined && isWanted(event, query)) yield event;
    }
  } catch (error) {
    throw new CommandFailure(
      `NATS no longer delivers events: ${errorMessage(error)}`,
      'the server was restarted or away for long: run it again, with --since for what is missing',
      { cause: error },
    );
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
    if (!connection.isClosed()) {
      await consumers.delete(streamName, name).catch(() => undefined);
    }
  }
}

/** Servers take several filters from 2.10 on. */
function hasManyFilters({ info }: NatsConnection): boolean {
  const [major = 0, minor = 0] = (info?.version ?? '').split('.').map(Number);
  return major > 2 || (major === 2 && minor >= 10);
}

/** Most filters of one consumer; with more, events are looked through here. */
const maxFilters = 200;

function filtersOf({ nodes, names }: EventQuery): string[] {
  const ofNodes = nodes.length === 0 ? [{}] : nodes.map((node) => ({ node }));
  const filters = ofNodes.flatMap((node) =>
    (names ?? [undefined]).map((name) => eventFilter({ ...node, name })),
  );
  return filters.length <= maxFilters ? filters : [eventFilter({})];
}

const isWanted = (event: StowageEvent, { nodes, names }: EventQuery): boolean =>
  (nodes.length === 0 || nodes.includes(event.node)) &&
  (names === undefined || names.includes(event.name));

/** An event of a later release, or no event at all, is passed over. */
function eventOf(data: Uint8Array): StowageEvent | undefined {
  try {
    return parseEvent(data);
  } catch {
    return undefined;
  }
}
