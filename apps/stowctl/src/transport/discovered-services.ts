import { checkNodeName, subjectToken } from '@stowage/events';
import { RequestStrategy, type NatsConnection } from 'nats';

/** What a service says of itself to NATS's service discovery. */
export interface DiscoveredService {
  readonly app: string;
  readonly node: string;
  readonly version: string;
  /** `ok`, `degraded` or `down`; absent: of a release that does not say it. */
  readonly state?: string;
}

/** How long services have to answer, milliseconds. */
const answerMs = 500;
/** How long an answer counts, for whoever looks again and again; milliseconds. */
const keptMs = 10_000;

interface Kept {
  readonly askedAt: number;
  readonly services: Promise<readonly DiscoveredService[]>;
}

/** Services that NATS's service discovery finds; none where the login may not ask. */
export class DiscoveredServices {
  /** By the prefix of the subject; undefined is that of all nodes. */
  readonly #kept = new Map<string | undefined, Kept>();

  constructor(private readonly connection: Pick<NatsConnection, 'services'>) {}

  /** Of every node that this login finds at once. */
  all(): Promise<readonly DiscoveredService[]> {
    return this.#ask(undefined);
  }

  /** Of one node. */
  async of(node: string): Promise<readonly DiscoveredService[]> {
    const isOwn = (service: DiscoveredService) => service.node === node;
    const found = (await this.all()).filter(isOwn);
    if (found.length > 0) return found;
    // Where each node has an account of its own, it is found below this (deploy/nats).
    return (await this.#ask(`stowage.srv.${subjectToken(node)}`)).filter(isOwn);
  }

  #ask(prefix: string | undefined): Promise<readonly DiscoveredService[]> {
    const kept = this.#kept.get(prefix);
    const now = Date.now();
    if (kept !== undefined && now - kept.askedAt < keptMs) return kept.services;
    const services = this.#ping(prefix);
    this.#kept.set(prefix, { askedAt: now, services });
    return services;
  }

  async #ping(prefix: string | undefined): Promise<readonly DiscoveredService[]> {
    const found: DiscoveredService[] = [];
    try {
      const options = { strategy: RequestStrategy.Timer, maxWait: answerMs };
      const client = this.connection.services.client(options, prefix);
      for await (const { name, version, metadata } of await client.ping()) {
        const { app, node, state } = metadata ?? {};
        if (!name.startsWith('stowage-') || app === undefined) continue;
        if (node !== undefined && isNodeName(node)) found.push({ app, node, version, state });
      }
    } catch {
      // Nobody is there, or this login may not ask.
    }
    return found;
  }
}

function isNodeName(text: string): boolean {
  try {
    checkNodeName(text);
    return true;
  } catch {
    return false;
  }
}
