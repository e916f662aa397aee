import { eventFilter, streamName, streamSubjects } from '@stowage/events';
import {
  DiscardPolicy,
  nanos,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type NatsConnection,
  type StreamConfig,
} from 'nats';
import {
  apiCode,
  apiFailure,
  askApi,
  isForbidden,
  isWithoutJetStream,
  jetStreamManager,
} from './jetstream-api';
import type { BusLog, StreamOptions } from './types';

/** The state of the stream at the last check. */
export type StreamCheck =
  /** Publish. */
  | {
      state: 'ready';
      /** Why publishing may still get no acknowledgement. */
      doubt?: string;
      /**
       * Size of a stored message, in bytes, above which the stream would accept but not keep it.
       */
      maxStoredBytes?: number;
    }
  /** Nothing can be published now. */
  | { state: 'unavailable'; reason: string };

const requestTimeoutMs = 5000;

/** The stream as this process would create it. */
export function streamConfig(options: StreamOptions): Partial<StreamConfig> {
  const maxAgeMs = options.maxAgeMs ?? 7 * 24 * 3600 * 1000;
  return {
    name: streamName,
    description: 'Events of the Stowage services on the nodes',
    subjects: [...streamSubjects],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_age: nanos(maxAgeMs),
    max_bytes: options.maxBytes ?? 1024 ** 3,
    duplicate_window: nanos(Math.min(options.duplicateWindowMs ?? 120_000, maxAgeMs)),
    num_replicas: options.replicas ?? 1,
  };
}

/** How an existing stream differs from what is configured, one text a setting. */
export function streamDifferences(
  wanted: Partial<StreamConfig>,
  existing: Partial<StreamConfig>,
): string[] {
  const compared = [
    'subjects',
    'storage',
    'retention',
    'discard',
    'max_age',
    'max_bytes',
    'duplicate_window',
    'num_replicas',
  ] as const;
  return compared
    .filter((key) => JSON.stringify(wanted[key]) !== JSON.stringify(existing[key]))
    .map(
      (key) =>
        `${key} is ${JSON.stringify(existing[key])}, configured is ${JSON.stringify(wanted[key])}`,
    );
}

/** Whether `filter` covers every subject of `subject`; both may contain wildcards. */
function covers(filter: string, subject: string): boolean {
  const wanted = subject.split('.');
  const tokens = filter.split('.');
  for (const [index, token] of tokens.entries()) {
    const other = wanted[index];
    if (token === '>') return other !== undefined;
    if (other === undefined || other === '>') return false;
    if (token !== '*' && token !== other) return false;
  }
  return tokens.length === wanted.length;
}

/**
 * Why the publisher could not know whether this stream has stored an event; undefined when it can.
 */
export function unfitFor(config: Partial<StreamConfig>): string | undefined {
  const name = config.name ?? streamName;
  if (config.no_ack === true) {
    return `stream ${name} has its acknowledgements off (no_ack), so nobody knows whether an event was stored: set no_ack to false`;
  }
  if (config.sealed === true) {
    return `stream ${name} is sealed and takes no events: it has to be made anew`;
  }
  if (config.mirror !== undefined) {
    return `stream ${name} is a mirror of ${JSON.stringify(config.mirror.name)} and takes no events: it has to be made anew`;
  }
  return undefined;
}

/** The state of an existing stream. */
function judgedStream(config: StreamConfig, node: string): StreamCheck {
  const reason = unfitFor(config);
  if (reason !== undefined) return { state: 'unavailable', reason };
  const events = eventFilter({ node });
  const isHeld = config.subjects.some((subject) => covers(subject, events));
  return {
    state: 'ready',
    ...(config.max_bytes > 0 && { maxStoredBytes: config.max_bytes }),
    // A stream of another name may store them: the acknowledgement of an event decides.
    ...(!isHeld && {
      doubt: `stream ${config.name} holds ${JSON.stringify(config.subjects)}, which leaves out ${events}`,
    }),
  };
}

/**
 * Checks whether the stream exists, and creates it if it does not (and this process may). One with
 * other settings is left as it is with a warning, unless it could never acknowledge. If the account
 * may not ask, publishing is tried anyway: its acknowledgement decides.
 */
export async function checkStream(
  connection: NatsConnection,
  node: string,
  options: StreamOptions,
  log: BusLog,
): Promise<StreamCheck> {
  const wanted = streamConfig(options);
  const found = await askApi(async (apiPrefix) => {
    const { streams } = await jetStreamManager(connection, apiPrefix, requestTimeoutMs);
    const config = await streams
      .info(streamName)
      .then((info) => info.config)
      .catch((error: unknown) => {
        if (apiFailure(error).apiCode !== apiCode.streamNotFound) throw error;
        return undefined;
      });
    return { streams, config, isOwnApi: apiPrefix === '$JS.API' };
  }).catch((error: unknown) => judged(error, log));
  if ('state' in found) return found;
  const { streams, config, isOwnApi } = found;
  if (config !== undefined) return warned(wanted, config, node, log);
  if (options.manage === false || !isOwnApi) {
    // Another stream may store the subjects; the acknowledgement of an event decides.
    log.warn({ stream: streamName }, 'stream does not exist and is not to be created from here');
    const doubt = `stream ${streamName} does not exist, and this login may not create it`;
    return isOwnApi ? { state: 'ready' } : { state: 'ready', doubt };
  }
  return create(streams, wanted, node, log);
}

async function create(
  streams: JetStreamManager['streams'],
  wanted: Partial<StreamConfig>,
  node: string,
  log: BusLog,
): Promise<StreamCheck> {
  try {
    await streams.add(wanted);
    log.info({ stream: streamName, subjects: wanted.subjects }, 'stream created');
    return { state: 'ready' };
  } catch (error) {
    const failure = apiFailure(error);
    if (failure.apiCode === apiCode.streamNameInUse) {
      // Another service created it between our check and our attempt.
      const existing = await streams.info(streamName).catch(() => undefined);
      return existing ? warned(wanted, existing.config, node, log) : { state: 'ready' };
    }
    if (failure.apiCode === apiCode.subjectsOverlap) {
      log.warn({ stream: streamName }, 'stream not created: another one holds its subjects');
      return otherStream(streams, node);
    }
    if (failure.apiCode === undefined) return judged(error, log);
    return {
      state: 'unavailable',
      reason: `stream ${streamName} cannot be created: ${failure.text}`,
    };
  }
}

/** A stream of another name that stores this node's events or a part of all events. */
async function otherStream(
  streams: JetStreamManager['streams'],
  node: string,
): Promise<StreamCheck> {
  try {
    const name = await streams.find(eventFilter({ node }));
    return judgedStream((await streams.info(name)).config, node);
  } catch (error) {
    const { text } = apiFailure(error);
    const doubt = `another stream holds a part of ${streamSubjects.join(', ')}, and which one holds the events of this node is not known: ${text}`;
    return { state: 'ready', doubt };
  }
}

function warned(
  wanted: Partial<StreamConfig>,
  existing: StreamConfig,
  node: string,
  log: BusLog,
): StreamCheck {
  const differences = streamDifferences(wanted, existing);
  if (differences.length > 0) {
    log.warn(
      { stream: streamName, differences },
      'stream exists with other settings and is left as it is',
    );
  }
  return judgedStream(existing, node);
}

function judged(error: unknown, log: BusLog): StreamCheck {
  const failure = apiFailure(error);
  if (isWithoutJetStream(failure)) {
    return {
      state: 'unavailable',
      reason: `JetStream is not enabled for this account on the NATS server: events are kept here`,
    };
  }
  if (failure.apiCode !== undefined) {
    return { state: 'unavailable', reason: `JetStream does not answer: ${failure.text}` };
  }
  if (isForbidden(error) && /violation for subscription/i.test(failure.text)) {
    return {
      state: 'unavailable',
      reason: `acknowledgements cannot be received: ${failure.text}`,
    };
  }
  log.warn(
    { stream: streamName, reason: failure.text },
    'stream could not be inspected: publishing is tried anyway',
  );
  return { state: 'ready', doubt: `the stream could not be inspected: ${failure.text}` };
}
