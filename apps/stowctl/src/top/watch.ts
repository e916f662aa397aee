import { setTimeout as pause } from 'node:timers/promises';
import type { StowageEvent } from '@stowage/events';
import type { Call } from '../command-line/define';
import { PullHistory } from '../events/pull-history';
import { failureText } from '../failure-text';
import { nodeStatus, type NodeStatus } from '../services/node-status';
import { onNodes } from '../transport/on-nodes';
import type { Reach } from '../transport/reach';
import type { TopState } from './frame';

/** Events that are shown at first are at most this old; milliseconds. */
const recentMs = 15 * 60_000;
/** Events that are kept: more than any screen has rows. */
const keptEvents = 500;
/** Pause before events are asked for again. */
const retryMs = 2000;

/** Asks the nodes again and again, and follows their events. */
export class Watch {
  readonly #statuses = new Map<string, NodeStatus>();
  readonly #pulls = new PullHistory();
  #events: StowageEvent[] = [];
  #eventsProblem: string | undefined;
  #askedAt: number | undefined;

  constructor(
    private readonly call: Pick<Call, 'out' | 'flags'>,
    private readonly reach: Reach,
    private readonly options: { readonly intervalMs: number; readonly signal: AbortSignal },
  ) {}

  /** Until the signal aborts. What cannot be had is part of the state. */
  async run(): Promise<void> {
    await Promise.all([this.#askNodes(), this.#followEvents()]);
  }

  get state(): TopState {
    const { nodes } = this.reach;
    return {
      nodes,
      statuses: nodes.flatMap((node) => this.#statuses.get(node) ?? []),
      pulls: this.#runningPulls(),
      events: this.#events,
      eventsProblem: this.#eventsProblem,
      askedAt: this.#askedAt,
    };
  }

  /** As their events show them: a pull that makes progress has one every few seconds. */
  #runningPulls(): TopState['pulls'] {
    return this.#pulls.pulls({ isWhole: false });
  }

  async #askNodes(): Promise<void> {
    const { intervalMs, signal } = this.options;
    while (!signal.aborted) {
      await onNodes(this.reach, { out: this.call.out, signal }, async (node, transport) => {
        const status = await nodeStatus(transport, node);
        if (!signal.aborted) this.#statuses.set(node, status);
      }).catch(() => undefined);
      this.#askedAt = Date.now();
      await pause(intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #followEvents(): Promise<void> {
    const { signal } = this.options;
    const { transport, nodes, kind } = this.reach;
    const wanted = kind === 'nats' && this.call.flags.has('all') ? [] : nodes;
    let since = new Date(Date.now() - recentMs);
    while (!signal.aborted) {
      const isFollowed = setTimeout(() => (this.#eventsProblem = undefined), 2 * retryMs);
      try {
        const query = { nodes: wanted, since, follow: true, signal };
        for await (const event of transport.events(query)) {
          this.#add(event);
          if (event.time > since) since = event.time;
        }
      } catch (error) {
        this.#eventsProblem = failureText(error).message;
      } finally {
        clearTimeout(isFollowed);
      }
      await pause(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #add(event: StowageEvent): void {
    this.#pulls.add(event);
    // These are bars.
    if (event.name === 'ImagePullProgress') return;
    // After another beginning the last one comes again.
    if (this.#events.some(({ id }) => id === event.id)) return;
    this.#events = [...this.#events, event].slice(-keptEvents);
  }
}
