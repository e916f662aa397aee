import { inTime } from '@stowage/async';
import { eventually } from '@stowage/testing';
import type { NatsConnection } from 'nats';
import { rmSync } from 'node:fs';
import { Drain, type DrainParts } from './drain';
import type { NatsLink } from './nats-link';
import { Outbox } from './outbox';
import { recordingLog, temporaryFolder } from './testing/test-bus';

/**
 * Sends to a JetStream that takes events or does not, as the test says; its acknowledgements come
 * at once.
 */
describe('draining the outbox', () => {
  const stateDir = temporaryFolder();
  const { log } = recordingLog();
  const outbox = new Outbox({
    stateDir,
    maxEvents: 1000,
    maxBytes: 1e6,
    log,
    now: () => new Date(),
  });
  /** Messages sent at a time. */
  const sent: string[][] = [];
  let takes = true;

  const connection = {
    jetstream: () => {
      const batch: string[] = [];
      sent.push(batch);
      return {
        publish: (_subject: string, message: Uint8Array) => {
          batch.push(Buffer.from(message).toString());
          return takes
            ? Promise.resolve()
            : Promise.reject(Object.assign(new Error('503'), { code: '503' }));
        },
      };
    },
  } as unknown as NatsConnection;

  const never = { promise: new Promise<void>(() => undefined), cancel: () => undefined };
  const link = {
    connection,
    state: { connected: true },
    disconnected: () => never,
  } as unknown as NatsLink;

  const drainWith = (checkStream: DrainParts['checkStream']) =>
    new Drain({
      outbox,
      link,
      checkStream,
      describeDropped: () => {
        throw new Error('nothing is dropped');
      },
      log,
      onChange: () => undefined,
    });
  const drain = drainWith(() => Promise.resolve({ state: 'ready' }));

  const append = (...messages: string[]) => {
    for (const message of messages) {
      const attributes = { id: message, name: 'ImagePulled', subject: 's', timeMs: 1 } as const;
      outbox.append(() => ({ ...attributes, sizeBytes: message.length, message }));
    }
  };

  /** What was sent since the last look, a batch an entry. */
  const takeSent = () => sent.splice(0).map((batch) => batch.join(' '));

  afterAll(async () => {
    await drain.stop();
    outbox.close();
    rmSync(stateDir, { recursive: true, force: true });
  });

  const sentAll = () => eventually(() => outbox.pending === 0);

  it('sends one event alone after a connect, the others together once that was taken', async () => {
    append('1', '2', '3', '4');
    drain.reconnected();
    await sentAll();
    expect(takeSent()).toEqual(['1', '2 3 4']);
    append('5', '6');
    drain.kick();
    await sentAll();
    expect(takeSent()).toEqual(['5 6']);
  });

  it('sends one event alone after a failure, so that no later one is stored before it', async () => {
    takes = false;
    append('7', '8', '9');
    drain.kick();
    await eventually(() => drain.failures >= 5);
    takes = true;
    await sentAll();
    const [first, ...others] = takeSent();
    expect(first).toBe('7 8 9');
    expect(others.slice(0, -1).every((batch) => batch === '7')).toBe(true);
    expect(others.at(-1)).toBe('8 9');
    expect(drain.published).toBe(9);
  });

  it('ends at once where JetStream does not say what the stream is', async () => {
    let asked = false;
    const silent = drainWith(() => {
      asked = true;
      return new Promise(() => undefined);
    });
    append('10');
    silent.kick();
    await eventually(() => asked);
    expect(
      await inTime(
        silent.stop().then(() => 'ended'),
        1000,
      ),
    ).toBe('ended');
    expect(outbox.pending).toBe(1);
  });
});
