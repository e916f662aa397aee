import { parseEvent, streamName, type StowageEvent } from '@stowage/events';
import { connect } from 'nats';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { natsConnectSettings } from '../nats-link';
import { openEventBus } from '../open-event-bus';
import type { BusLog, EventBus, EventBusOptions, NatsOptions } from '../types';

/** One line of the log of a bus under test. */
export interface LogLine {
  level: keyof BusLog;
  message: string;
  fields: Record<string, unknown>;
}

/** A log that keeps its lines. */
export function recordingLog(): { log: BusLog; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: keyof BusLog) => (fields: object, message: string) => {
    lines.push({ level, message, fields: { ...fields } });
  };
  return {
    lines,
    log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
  };
}

export const temporaryFolder = () => mkdtempSync(path.join(tmpdir(), 'stowage-bus-'));

type TestBusOptions = Partial<EventBusOptions> & { stateDir: string; url: string };

/** Options of a bus for node worker-1.example.net, app gc-worker. */
export function testBusOptions({ url, ...rest }: TestBusOptions): EventBusOptions {
  return {
    node: 'worker-1.example.net',
    app: 'gc-worker',
    nats: { servers: [url], reconnectWaitMs: 50 },
    log: recordingLog().log,
    ...rest,
  };
}

/** A bus with these options and its log. */
export function testBus(options: TestBusOptions): EventBus & { lines: LogLine[] } {
  const { log, lines } = recordingLog();
  return Object.assign(openEventBus(testBusOptions({ log, ...options })), { lines });
}

/** Everything the stream holds, in order, with the headers that matter. */
export async function streamEvents(
  url: string,
  login: Omit<NatsOptions, 'servers'> = {},
): Promise<{ event: StowageEvent; subject: string; msgId: string; contentType: string }[]> {
  const connection = await connect(
    natsConnectSettings({ ...login, servers: [url] }, 'test').options,
  );
  try {
    const consumer = await connection.jetstream().consumers.get(streamName);
    const { num_pending: count } = await consumer.info();
    const events = [];
    if (count > 0) {
      const messages = await consumer.fetch({ max_messages: count, expires: 110_000 });
      for await (const message of messages) {
        events.push({
          event: parseEvent(message.data),
          subject: message.subject,
          msgId: message.headers?.get('Nats-Msg-Id') ?? '',
          contentType: message.headers?.get('Content-Type') ?? '',
        });
      }
    }
    return events;
  } finally {
    await connection.close();
  }
}
