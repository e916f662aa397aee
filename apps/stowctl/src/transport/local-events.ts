import type { StowageEvent } from '@stowage/events';
import { CommandFailure } from '../failures';
import type { EventQuery, Transport } from './reach';

/** Events of this node, from its services. */
// eslint-disable-next-line @typescript-eslint/require-await, require-yield -- until services answer
export async function* localEvents(
  _transport: Transport,
  _query: EventQuery,
): AsyncGenerator<StowageEvent> {
  throw new CommandFailure('events need NATS', 'add --server URL --node NAME');
}
