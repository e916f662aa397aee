import { parseEvent, streamName } from '@stowage/events';
import { eventually } from '@stowage/testing';
import type { NatsConnection } from 'nats';
import path from 'node:path';
import { startProcess } from './measure';

/** What came of many nodes that publish one event a second each. */
export interface ManyNodesResult {
  readonly processes: number;
  /**
   * Longest time a process took to publish, and then until JetStream had acknowledged the last,
   * milliseconds.
   */
  readonly tookMs: number;
  readonly drainMs: number;
  readonly stored: number;
  readonly lost: number;
  readonly twice: number;
  readonly outOfOrder: number;
}

const nodesPerProcess = 250;

/**
 * Runs the nodes in a few processes against one nats-server, then reads the whole stream and
 * compares.
 */
export async function manyNodes(
  connection: NatsConnection,
  options: { url: string; folder: string; nodes: number; seconds: number },
): Promise<ManyNodesResult> {
  const { url, folder, nodes, seconds } = options;
  const manager = await connection.jetstreamManager();
  await manager.streams.purge(streamName).catch(() => undefined); // none yet
  const processes = Array.from({ length: Math.ceil(nodes / nodesPerProcess) }, (_, index) => {
    const first = index * nodesPerProcess;
    const count = Math.min(nodesPerProcess, nodes - first);
    const args = [url, path.join(folder, 'nodes'), String(first), String(count), String(seconds)];
    return startProcess('nodes-process.ts', args);
  });
  try {
    await eventually(() => processes.every(({ lines }) => lines[0] === 'ready'), {
      what: 'all nodes to be connected',
      timeoutMs: 180_000,
    });
    for (const { child } of processes) child.stdin?.write('go\n');
    await Promise.all(processes.map(({ ended }) => ended));
  } finally {
    for (const { child } of processes) child.kill('SIGKILL');
  }
  const results = processes.map(
    ({ lines }) => JSON.parse(lines[1] ?? '{}') as { tookMs: number; drainMs: number },
  );
  return {
    processes: processes.length,
    tookMs: Math.max(...results.map(({ tookMs }) => tookMs)),
    drainMs: Math.max(...results.map(({ drainMs }) => drainMs)),
    ...(await compare(connection, nodes, seconds)),
  };
}

/**
 * Reads the stream as a consumer does: each source has its sequences from 1 on, each once, in
 * order.
 */
async function compare(connection: NatsConnection, nodes: number, seconds: number) {
  const consumer = await connection.jetstream().consumers.get(streamName);
  const { num_pending: stored } = await consumer.info();
  const last = new Map<string, number>();
  const ids = new Set<string>();
  let outOfOrder = 0;
  let read = 0;
  const messages = await consumer.consume({ max_messages: 1000 });
  for await (const message of messages) {
    const event = parseEvent(message.data);
    ids.add(event.id);
    if (event.sequence !== (last.get(event.source) ?? 0) + 1) outOfOrder += 1;
    last.set(event.source, event.sequence);
    read += 1;
    if (read === stored) break;
  }
  return { stored, lost: nodes * seconds - ids.size, twice: stored - ids.size, outOfOrder };
}
