import { pause } from '@stowage/async';
import { imageService } from '@stowage/commands';
import type { StowageEvent } from '@stowage/events';
import type { Call } from '../command-line/define';
import { pullsProblem, shownPull, type ShownPull } from '../commands/pulls';
import { failureText } from '../failure-text';
import { nodeStatus, type NodeStatus } from '../services/node-status';
import { onNodes } from '../transport/on-nodes';
import type { Reach } from '../transport/reach';
import type { TopState } from './frame';

/** Events that are shown at first are at most this old; milliseconds. */
const recentMs = 15 * 60_000;
/** Events that are kept: more than any screen has rows. */
const keptEvents = 500;
/** Pause before pulls or events are asked for again. */
const retryMs = 2000;

/** What is known of a node's pulls: those that are going on, or why that is not known. */
type NodePulls =
  | { readonly running: readonly ShownPull[]; readonly problem?: undefined }
  | { readonly running?: undefined; readonly problem: string };

/** Asks the nodes again and again, and follows their pulls and events. */
export class Watch {
  readonly #statuses = new Map<string, NodeStatus>();
  readonly #pulls = new Map<string, NodePulls>();
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
    const { nodes } = this.reach;
    const pulls = nodes.map((node) => this.#followPulls(node));
    await Promise.all([this.#askNodes(), this.#followEvents(), ...pulls]);
  }

  get state(): TopState {
    const { nodes } = this.reach;
    const pulls = nodes.flatMap((node) => {
      const known = this.#pulls.get(node);
      return known === undefined ? [] : [{ node, ...known }];
    });
    return {
      nodes,
      statuses: nodes.flatMap((node) => this.#statuses.get(node) ?? []),
      pulls: pulls.flatMap(({ running = [] }) => running),
      pullProblems: pulls.flatMap(({ node, problem }) =>
        problem === undefined ? [] : [{ node, problem }],
      ),
      arePullsKnown: pulls.length > 0,
      events: this.#events,
      eventsProblem: this.#eventsProblem,
      askedAt: this.#askedAt,
    };
  }

  async #askNodes(): Promise<void> {
    const { intervalMs, signal } = this.options;
    while (!signal.aborted) {
      await onNodes(this.reach, { out: this.call.out, signal }, async (node, transport) => {
        const status = await nodeStatus(transport, node);
        if (!signal.aborted) this.#statuses.set(node, status);
      }).catch(() => undefined);
      this.#askedAt = Date.now();
      await pause(intervalMs, { signal });
    }
  }

  /** As image-service has them, with every change; what it said last counts until it fails. */
  async #followPulls(node: string): Promise<void> {
    const { signal } = this.options;
    const { transport } = this.reach;
    const isOver = () => signal.aborted;
    while (!isOver()) {
      try {
        for await (const { pulls } of transport.follow(node, imageService.pulls, {})) {
          this.#pulls.set(node, { running: pulls.map((pull) => shownPull(node, pull)) });
          if (isOver()) return;
        }
      } catch (error) {
        if (isOver()) return;
        this.#pulls.set(node, { problem: pullsProblem(error) });
      }
      await pause(retryMs, { signal });
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
      await pause(retryMs, { signal });
    }
  }

  #add(event: StowageEvent): void {
    // The pulls have bars of their own.
    if (event.name === 'ImagePullProgress') return;
    // After another beginning the last one comes again.
    if (this.#events.some(({ id }) => id === event.id)) return;
    this.#events = [...this.#events, event].slice(-keptEvents);
  }
}
