import type { JsMsg } from 'nats';
import type { ConsumerConnection } from './consumer-connection';
import { apiCode, apiFailure } from './jetstream-api';

/** When an event becomes a dead letter, and where it goes. */
export interface DeadLetterOptions {
  /**
   * How often handling may fail, in this process, before the event becomes a dead letter. Default
   * 5.
   */
  maxTries?: number;
  /**
   * Subject to publish on, which a stream must store. Default
   * `stowage.dead-letter.<durable>.<node>.<entity>.<event>`.
   */
  subject?: string;
}

/** Headers of a dead letter; its body is the original message. */
export const deadLetterHeaders = {
  /**
   * Why it became a dead letter: the last error of the handler, or what is wrong with the message.
   * One line.
   */
  reason: 'Stowage-Reason',
  tries: 'Stowage-Tries',
  /** Durable name of the consumer that gave it up. */
  consumer: 'Stowage-Consumer',
  /** Subject and sequence of the message in the stream of events. */
  subject: 'Stowage-Subject',
  streamSequence: 'Stowage-Stream-Sequence',
  /**
   * `omitted` if server or stream accept no message as large as the event with these headers; its
   * stream still has it.
   */
  body: 'Stowage-Body',
} as const;

const storeTimeoutMs = 5000;
const maxReasonLength = 500;
/** Room for the headers in what the server counts as payload, beside reason and subject. */
const headerBytes = 512;

/** The subject for the dead letter of a message. */
export function deadLetterSubject(
  subject: string,
  durable: string | undefined,
  options: DeadLetterOptions | undefined,
): string {
  const tail = subject.replace(/^stowage\.event\./, '');
  return options?.subject ?? `stowage.dead-letter.${durable ?? 'none'}.${tail}`;
}

/** Publishes a dead letter and waits until a stream has stored it; throws when none did. */
export async function publishDeadLetter(
  access: ConsumerConnection,
  letter: {
    message: JsMsg;
    subject: string;
    reason: string;
    tries: number;
    consumer: string | undefined;
    /** Id of the event, where the message is one. */
    id: string | undefined;
  },
): Promise<void> {
  const { message, subject, reason, tries, consumer, id } = letter;
  const { streamSequence } = message.info;
  const header = await access.headers();
  const contentType = message.headers?.get('Content-Type');
  if (contentType) header.set('Content-Type', contentType);
  header.set(deadLetterHeaders.reason, oneLine(reason));
  header.set(deadLetterHeaders.tries, String(tries));
  if (consumer !== undefined) header.set(deadLetterHeaders.consumer, consumer);
  header.set(deadLetterHeaders.subject, message.subject);
  header.set(deadLetterHeaders.streamSequence, String(streamSequence));
  const store = (data: Uint8Array) =>
    access.client({ timeout: storeTimeoutMs }).publish(subject, data, {
      headers: header,
      // Stored only once if the acknowledgement is lost and the letter is sent again.
      msgID: [consumer, id ?? `message-${String(streamSequence)}`].filter(Boolean).join('.'),
    });
  const textBytes = Buffer.byteLength(oneLine(reason)) + message.subject.length;
  const maxBytes = (access.connection.info?.max_payload ?? Infinity) - headerBytes - textBytes;
  try {
    if (message.data.length <= maxBytes) {
      await store(message.data);
      return;
    }
  } catch (error) {
    if (apiFailure(error).apiCode !== apiCode.messageTooLarge) throw error;
  }
  header.set(deadLetterHeaders.body, 'omitted');
  await store(new Uint8Array());
}

/** A header holds one line. */
function oneLine(text: string): string {
  const line = text.replace(/[\u0000-\u001f\u007f]+/g, ' ').trim();
  return line.length > maxReasonLength ? `${line.slice(0, maxReasonLength - 1)}…` : line;
}
