import {
  apiFailure,
  askApi,
  isWithoutJetStream,
  jetStreamManager,
  streamConfig,
  streamDifferences,
  type NatsOptions,
} from '@stowage/event-bus/client';
import { errorMessage } from '@stowage/errors';
import { streamName, streamSubjects } from '@stowage/events';
import { AckPolicy, nanos, type NatsConnection, type StreamConfig } from 'nats';
import { finding, spanText, type Finding } from '@stowage/status-view';
import { openNats } from '../transport/nats-transport';

/** Differences of clocks from which ages and orders of events mislead. */
const clockToleranceMs = 2000;

/** Codes of JetStream's API. */
const streamNotFound = 10059;

/** What is wrong with NATS as this login sees it. */
export async function natsFindings(options: NatsOptions, timeoutMs: number): Promise<Finding[]> {
  let connection: NatsConnection;
  try {
    connection = await openNats(options, timeoutMs);
  } catch (error) {
    const { message, cause } = error as Error;
    const { code } = (cause ?? {}) as { code?: string };
    const isLogin = code === 'AUTHORIZATION_VIOLATION' || /refuses this login/.test(message);
    return [finding(isLogin ? 'nats-login' : 'nats-away', 'NATS', message)];
  }
  try {
    return await streamFindings(connection, timeoutMs);
  } finally {
    await connection.close();
  }
}

async function streamFindings(connection: NatsConnection, timeoutMs: number): Promise<Finding[]> {
  try {
    return await askApi(async (apiPrefix) => {
      const manager = await jetStreamManager(connection, apiPrefix, timeoutMs);
      const { config, state } = await manager.streams.info(streamName);
      const before = Date.now();
      const consumer = await manager.consumers
        .add(streamName, {
          ack_policy: AckPolicy.None,
          mem_storage: true,
          inactive_threshold: nanos(5000),
        })
        .catch(() => undefined);
      const clock =
        consumer === undefined
          ? []
          : clockFindings(Date.parse(consumer.created), { before, after: Date.now() });
      if (consumer !== undefined) {
        await manager.consumers.delete(streamName, consumer.name).catch(() => undefined);
      }
      const full = config.max_bytes > 0 && state.bytes > config.max_bytes * 0.95;
      return [...settingsFindings(config, { isFull: full }), ...clock];
    });
  } catch (error) {
    const failure = apiFailure(error);
    if (isWithoutJetStream(failure)) {
      return [finding('nats-no-jetstream', 'NATS', `the account of this login has no JetStream`)];
    }
    if (failure.apiCode === streamNotFound) {
      return [finding('stream-missing', streamName, 'there is no such stream')];
    }
    const isForbidden = /permissions violation/i.test(errorMessage(error));
    return [finding(isForbidden ? 'nats-permission' : 'nats-away', streamName, failure.text)];
  }
}

/** What keeps events from the stream, or makes it other than services would. */
export function settingsFindings(config: StreamConfig, { isFull }: { isFull: boolean }): Finding[] {
  const found: Finding[] = [];
  const [all = ''] = streamSubjects;
  if (!config.subjects.includes(all)) {
    const list = JSON.stringify(config.subjects);
    found.push(finding('stream-unfit', streamName, `it stores ${list}, events are on ${all}`));
  }
  if (config.no_ack) {
    found.push(finding('stream-unfit', streamName, 'it acknowledges nothing (no_ack)'));
  }
  if (config.sealed) found.push(finding('stream-unfit', streamName, 'it is sealed'));
  const differences = streamDifferences(streamConfig({}), config).filter(
    (text) => !text.startsWith('subjects '),
  );
  if (differences.length > 0) {
    const text = differences.map((line) => line.replace('configured is', 'the default is'));
    found.push(finding('stream-settings', streamName, text.join('; ')));
  }
  if (isFull) {
    const text = 'it is at its max_bytes: the oldest events go before max_age';
    found.push(finding('stream-settings', `${streamName} max_bytes`, text));
  }
  return found;
}

/** The server's time in an answer, which was made between two times of this machine. */
export function clockFindings(
  serverTime: number,
  { before, after }: { before: number; after: number },
): Finding[] {
  const offMs = serverTime < before ? serverTime - before : Math.max(0, serverTime - after);
  if (Number.isNaN(offMs) || Math.abs(offMs) <= clockToleranceMs) return [];
  const how = offMs > 0 ? 'behind' : 'ahead of';
  const problem = `the clock here is ${spanText(Math.abs(offMs))} ${how} that of NATS`;
  return [finding('clock-off', 'clock', problem)];
}
