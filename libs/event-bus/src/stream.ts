import { streamName, streamSubjects } from '@stowage/events';
import {
  DiscardPolicy,
  nanos,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type NatsConnection,
  type StreamConfig,
} from 'nats';
import { errorText } from './nats-link';
import type { BusLog, StreamOptions } from './types';

/** What is known of the stream after a look at it. */
export type StreamCheck =
  /** Publish. */
  | { state: 'ready' }
  /** Nothing can be published now. */
  | { state: 'unavailable'; reason: string };

/** Codes of the JetStream API that this file tells apart. */
const apiCode = {
  noJetStreamForAccount: 10039,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  subjectsOverlap: 10065,
  noJetStream: 10076,
};

const noResponders = '503';
const requestTimeoutMs = 5000;

/** The stream as this process would create it. */
export function streamConfig(options: StreamOptions): Partial<StreamConfig> {
  const maxAgeMs = options.maxAgeMs ?? 7 * 24 * 3600 * 1000;
  return {
    name: streamName,
    description: 'What the Stowage services on the nodes tell',
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

interface ApiFailure {
  code: string | undefined;
  apiCode: number | undefined;
  text: string;
}

function apiFailure(error: unknown): ApiFailure {
  const { code, api_error: api } = error as {
    code?: string;
    api_error?: { err_code?: number; description?: string };
  };
  return {
    code,
    apiCode: api?.err_code,
    text: api?.description ?? errorText(error),
  };
}

/**
 * Looks whether the stream is there and creates it when it is not (and may). One with other settings is left alone
 * with a warning. Where the account may not ask, publishing is tried all the same: its acknowledgement decides.
 */
export async function checkStream(
  connection: NatsConnection,
  options: StreamOptions,
  log: BusLog,
): Promise<StreamCheck> {
  const wanted = streamConfig(options);
  const streams = (
    await connection.jetstreamManager({ checkAPI: false, timeout: requestTimeoutMs })
  ).streams;
  try {
    return warned(wanted, (await streams.info(streamName)).config, log);
  } catch (error) {
    const failure = apiFailure(error);
    if (failure.apiCode !== apiCode.streamNotFound) return judged(failure, log);
  }
  if (options.manage === false) {
    // Another stream may hold the subjects; the acknowledgement of an event decides.
    log.warn({ stream: streamName }, 'stream does not exist and is not to be created from here');
    return { state: 'ready' };
  }
  return create(streams, wanted, log);
}

async function create(
  streams: JetStreamManager['streams'],
  wanted: Partial<StreamConfig>,
  log: BusLog,
): Promise<StreamCheck> {
  try {
    await streams.add(wanted);
    log.info({ stream: streamName, subjects: wanted.subjects }, 'stream created');
    return { state: 'ready' };
  } catch (error) {
    const failure = apiFailure(error);
    if (failure.apiCode === apiCode.streamNameInUse) {
      // Another service created it between our look and our attempt.
      const existing = await streams.info(streamName).catch(() => undefined);
      return existing ? warned(wanted, existing.config, log) : { state: 'ready' };
    }
    if (failure.apiCode === apiCode.subjectsOverlap) {
      log.warn({ stream: streamName }, 'stream not created: another one holds its subjects');
      return { state: 'ready' };
    }
    if (failure.apiCode === undefined) return judged(failure, log);
    return {
      state: 'unavailable',
      reason: `stream ${streamName} cannot be created: ${failure.text}`,
    };
  }
}

function warned(
  wanted: Partial<StreamConfig>,
  existing: Partial<StreamConfig>,
  log: BusLog,
): StreamCheck {
  const differences = streamDifferences(wanted, existing);
  if (differences.length > 0) {
    log.warn(
      { stream: streamName, differences },
      'stream exists with other settings and is left as it is',
    );
  }
  return { state: 'ready' };
}

function judged(failure: ApiFailure, log: BusLog): StreamCheck {
  if (
    failure.code === noResponders ||
    failure.apiCode === apiCode.noJetStream ||
    failure.apiCode === apiCode.noJetStreamForAccount
  ) {
    return {
      state: 'unavailable',
      reason: `JetStream is not enabled for this account on the NATS server: events are kept here`,
    };
  }
  if (failure.apiCode !== undefined) {
    return { state: 'unavailable', reason: `JetStream does not answer: ${failure.text}` };
  }
  log.warn(
    { stream: streamName, reason: failure.text },
    'stream could not be looked at: publishing is tried all the same',
  );
  return { state: 'ready' };
}
