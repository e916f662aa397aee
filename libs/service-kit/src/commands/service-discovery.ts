import { randomUUID } from 'node:crypto';
import type { CommandConnection, CommandMessage, CommandSubscription } from './types';

/** A service as NATS's service discovery shows it (its micro protocol, version 1). */
export interface DiscoveredService {
  /** Name for discovery: letters, digits, `-` and `_`. */
  readonly name: string;
  /** Semantic version. */
  readonly version: string;
  readonly description: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** As of now. */
  metadata(): Readonly<Record<string, string>>;
  /** What it answers now. */
  endpoints(): readonly DiscoveredEndpoint[];
  readonly log: { info(fields: object, message: string): void };
}

export interface DiscoveredEndpoint {
  readonly name: string;
  readonly subject: string;
  readonly queueGroup: string;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Count {
  requests: number;
  errors: number;
  lastError: string;
  durationMs: number;
}

/** Questions that are answered in a second; more get no answer. */
const maxPerSecond = 100;

const noCount: Readonly<Count> = { requests: 0, errors: 0, lastError: '', durationMs: 0 };

/** Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, also with its name, and with name and id. */
export class ServiceDiscovery {
  /** Of this process. */
  readonly #id = randomUUID();
  readonly #counts = new Map<string, Count>();
  #second = 0;
  #inSecond = 0;
  #isRefusalLogged = false;

  constructor(private readonly service: DiscoveredService) {}

  /** A request to an endpoint was answered. */
  count(endpoint: string, { code, durationMs }: { code: string; durationMs: number }): void {
    const count = this.#counts.get(endpoint) ?? { ...noCount };
    count.requests += 1;
    count.durationMs += durationMs;
    if (code !== 'OK') {
      count.errors += 1;
      count.lastError = code;
    }
    this.#counts.set(endpoint, count);
  }

  /** Every instance answers, so there is no queue group. */
  subscribe(connection: CommandConnection): CommandSubscription[] {
    const { name } = this.service;
    return ['$SRV.*', `$SRV.*.${name}`, `$SRV.*.${name}.${this.#id}`].map((subject) =>
      connection.subscribe(subject, {
        callback: (error, message) => {
          if (error != null) this.#refused(error);
          else this.#answer(message);
        },
      }),
    );
  }

  /** Permissions of an earlier release have no discovery: commands are answered all the same. */
  #refused(error: Error): void {
    if (this.#isRefusalLogged) return;
    this.#isRefusalLogged = true;
    const { log } = this.service;
    log.info({ reason: error.message }, 'NATS does not let this service be discovered');
  }

  #answer(message: CommandMessage): void {
    const [, verb] = message.subject.split('.');
    const reply = this.#reply(verb);
    if (reply === undefined || this.#isTooMuch()) return;
    try {
      message.respond(Buffer.from(JSON.stringify(reply)));
    } catch {
      // NATS is away, and so is who asked.
    }
  }

  #isTooMuch(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) [this.#second, this.#inSecond] = [second, 0];
    this.#inSecond += 1;
    return this.#inSecond > maxPerSecond;
  }

  #reply(verb: string | undefined): object | undefined {
    const { name, version, description, startedAt } = this.service;
    const metadata = this.service.metadata();
    const identity = { name, id: this.#id, version, metadata };
    switch (verb) {
      case 'PING':
        return { type: 'io.nats.micro.v1.ping_response', ...identity };
      case 'INFO': {
        const endpoints = this.service
          .endpoints()
          .map(({ queueGroup, ...endpoint }) => ({ ...endpoint, queue_group: queueGroup }));
        return { type: 'io.nats.micro.v1.info_response', ...identity, description, endpoints };
      }
      case 'STATS': {
        const endpoints = this.service.endpoints().map((endpoint) => this.#stats(endpoint));
        const started = startedAt;
        return { type: 'io.nats.micro.v1.stats_response', ...identity, started, endpoints };
      }
      case undefined:
      default:
        return undefined;
    }
  }

  /** Times in nanoseconds, as the protocol has them. */
  #stats({ name, subject, queueGroup }: DiscoveredEndpoint) {
    const { requests, errors, lastError, durationMs } = this.#counts.get(name) ?? noCount;
    const processing = Math.round(durationMs * 1e6);
    return {
      name,
      subject,
      queue_group: queueGroup,
      num_requests: requests,
      num_errors: errors,
      last_error: lastError,
      processing_time: processing,
      average_processing_time: requests === 0 ? 0 : Math.round(processing / requests),
    };
  }
}
