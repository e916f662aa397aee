import { setTimeout as pause } from 'node:timers/promises';
import { dockerShim, gcWorker, imageService, runtimeGateway } from '@stowage/commands';
import { parseEvent, type StowageEvent } from '@stowage/events';
import { isNotOffered, isUnanswered } from '../failure-text';
import type { EventQuery, Transport } from './reach';

/** The command is the same for every service that publishes. */
const sources = [runtimeGateway.events, imageService.events, gcWorker.events, dockerShim.events];

/** Events of one request, and how often new ones are asked for. */
const pageSize = 1000;
const pollMs = 500;

/**
 * Events of this node from the rings of its services, which need no NATS. Each service has its own;
 * what they hold at the same time is put in order. One that does not run is left out, unless none
 * answers.
 */
export async function* localEvents(
  transport: Pick<Transport, 'send'>,
  query: EventQuery,
): AsyncGenerator<StowageEvent> {
  const { follow, signal } = query;
  const readers = sources.map((command) => new RingReader(transport, command, query));
  do {
    const batches = await Promise.all(readers.map((reader) => reader.read()));
    const failures = readers.flatMap(({ failure }) => (failure === undefined ? [] : [failure]));
    const [first] = failures;
    if (first !== undefined && failures.length === readers.length) throw first;
    yield* batches.flat().toSorted((a, b) => a.time.getTime() - b.time.getTime());
    if (follow) await pause(pollMs, undefined, { signal }).catch(() => undefined);
  } while (follow && !isAborted(signal));
}

const isAborted = (signal: AbortSignal): boolean => signal.aborted;

/** Reads one ring, each time what is new in it. */
class RingReader {
  /** Why it does not answer, as of the last time. */
  failure: Error | undefined;
  #next = 0;

  constructor(
    private readonly transport: Pick<Transport, 'send'>,
    private readonly command: (typeof sources)[number],
    private readonly query: EventQuery,
  ) {}

  async read(): Promise<StowageEvent[]> {
    const events: StowageEvent[] = [];
    const { names, since, signal } = this.query;
    try {
      for (;;) {
        const page = await this.transport.send('', this.command, {
          after: this.#next,
          limit: pageSize,
          types: names === undefined ? undefined : [...names],
          since: since?.toISOString(),
        });
        events.push(...page.events.flatMap(eventOf));
        this.#next = page.next;
        if (!page.more) break;
      }
      this.failure = undefined;
    } catch (error) {
      if (isAborted(signal)) return [];
      if (!isUnanswered(error) && !isNotOffered(error)) throw error;
      this.failure = error as Error;
    }
    return events;
  }
}

/** An event of a later release is passed over. */
function eventOf(json: unknown): StowageEvent[] {
  try {
    return [parseEvent(JSON.stringify(json))];
  } catch {
    return [];
  }
}
