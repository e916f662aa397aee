import { failureText } from '../failure-text';
import { CommandFailure } from '../failures';
import type { Call } from '../command-line/define';
import type { Reach } from './reach';

/** Nodes that are asked at the same time. */
const atOnce = 32;

/** What came of a node. */
export interface NodeResult<T> {
  readonly node: string;
  readonly value: T;
}

/** Results of nodes in their order, and how many failed; each failure has been reported. */
export interface NodeResults<T> {
  readonly results: readonly NodeResult<T>[];
  readonly failed: number;
}

/** Throws where `--all` finds no node: that nobody was asked must not look like a success. */
export function requireNodes(nodes: readonly string[]): void {
  if (nodes.length > 0) return;
  throw new CommandFailure(
    'there is no node to ask: none has published events that are kept, and none answers',
    'name nodes with --node, or see what is wrong with NATS: stowctl doctor --server URL',
  );
}

/**
 * Asks every node, several at once. A node that fails is reported, and the others are shown. Throws
 * as {@link requireNodes}.
 */
export async function onNodes<T>(
  { transport, nodes }: Reach,
  { out, signal }: Pick<Call, 'out' | 'signal'>,
  ask: (node: string, transport: Reach['transport']) => Promise<T>,
): Promise<NodeResults<T>> {
  requireNodes(nodes);
  const results = new Map<string, NodeResult<T>>();
  const waiting = [...nodes];
  let failed = 0;
  const work = async () => {
    for (let node = waiting.shift(); node !== undefined; node = waiting.shift()) {
      try {
        results.set(node, { node, value: await ask(node, transport) });
      } catch (error) {
        signal.throwIfAborted();
        failed += 1;
        const { message, remedy } = failureText(error);
        out.problem(message, remedy);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, nodes.length) }, work));
  return {
    results: nodes.flatMap((node) => results.get(node) ?? []),
    failed,
  };
}
