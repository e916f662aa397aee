import type { CommandDefinition, CommandInput, CommandReply, ServiceInfo } from '@stowage/commands';
import type { EventName, StowageEvent } from '@stowage/events';
import type { DiscoveredService } from './discovered-services';

/** Limits of one request. */
export interface RequestOptions {
  /** Longest wait, milliseconds; absent: `--timeout`. */
  readonly timeoutMs?: number;
}

/** Which events. */
export interface EventQuery {
  /** Empty: of every node that is reached. */
  readonly nodes: readonly string[];
  /** Absent: all. */
  readonly names?: readonly EventName[];
  /** Only events published from here on; absent: all that are kept. */
  readonly since?: Date;
  /** Go on with new ones until the signal aborts. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** The way to services: the local sockets of this node, or NATS. */
export interface Transport {
  /** Names of all nodes that it reaches. */
  allNodes(): Promise<readonly string[]>;
  send<C extends CommandDefinition>(
    node: string,
    command: C,
    input: CommandInput<C>,
    options?: RequestOptions,
  ): Promise<CommandReply<C>>;
  /** The reply of a command, and a new one whenever it has changed, until the signal aborts. */
  follow<C extends CommandDefinition>(
    node: string,
    command: C,
    input: CommandInput<C>,
  ): AsyncIterable<CommandReply<C>>;
  /** What a service says of itself; undefined where only its own node can ask that. */
  info(node: string, app: string): Promise<ServiceInfo | undefined>;
  /** What the services of a node say of themselves on NATS; none through its sockets. */
  discovered(node: string): Promise<readonly DiscoveredService[]>;
  /** Events in the order in which they were published. */
  events(query: EventQuery): AsyncIterable<StowageEvent>;
  close(): Promise<void>;
}

/** A way that is open, and the nodes that were asked for. */
export interface Reach {
  readonly transport: Transport;
  readonly nodes: readonly string[];
  /** This node through its sockets, or nodes over NATS. */
  readonly kind: 'local' | 'nats';
}

/** How to open the way. */
export interface OpenOptions {
  /**
   * Without `--node` and `--all` this node's sockets are asked although servers are known, and when
   * none of them answers the node has the host's name.
   */
  readonly isLocalPreferred?: boolean;
  /** NATS may go away for any time and come back. */
  readonly isLasting?: boolean;
}

/** Opens the way. */
export type OpenReach = (options?: OpenOptions) => Promise<Reach>;
