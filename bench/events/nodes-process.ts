// Services of many nodes in one process: `nodes-process.ts NATS_URL FOLDER FIRST COUNT SECONDS`.
// Each node has a bus of its own, with outbox and connection, and publishes one event a second.
// Prints `ready`, begins at a line on stdin, and prints what it published.
import { openEventBus, type BusLog, type EventBus } from '@stowage/event-bus';
import { eventCatalog } from '@stowage/events';
import { eventually } from '@stowage/testing';
import { once } from 'node:events';
import path from 'node:path';

const [url = '', folder = '', first = '0', count = '0', seconds = '0'] = process.argv.slice(2);
const quiet = () => undefined;
const log: BusLog = { debug: quiet, info: quiet, warn: quiet, error: console.error };
const { data, subject } = eventCatalog.ContainerStarted.example;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

/** Each node at its own time within the second, by a clock that does not drift. */
async function publishEachSecond(bus: EventBus, offsetMs: number, begin: number): Promise<void> {
  for (let second = 0; second < Number(seconds); second += 1) {
    await pause(begin + second * 1000 + offsetMs - performance.now());
    bus.publish('ContainerStarted', { subject, data });
  }
}

async function main(): Promise<void> {
  const buses = Array.from({ length: Number(count) }, (_, index) => {
    const node = `worker-${Number(first) + index}`;
    return openEventBus({
      stateDir: path.join(folder, node),
      node,
      app: 'runtime-gateway',
      nats: { servers: [url] },
      log,
    });
  });
  const allConnected = () => buses.every((bus) => bus.status().connected);
  await eventually(allConnected, { what: 'all connections', timeoutMs: 120_000 });
  process.stdout.write('ready\n');
  await once(process.stdin, 'data');
  process.stdin.destroy();
  const begin = performance.now();
  const share = 1000 / buses.length;
  await Promise.all(buses.map((bus, index) => publishEachSecond(bus, index * share, begin)));
  const publishedAt = performance.now();
  const delivered = await Promise.all(
    buses.map((bus) => bus.flush({ signal: AbortSignal.timeout(60_000) })),
  );
  const waiting = delivered.filter((isDelivered) => !isDelivered).length;
  const dropped = buses.reduce((sum, bus) => sum + bus.status().dropped, 0);
  const tookMs = publishedAt - begin;
  const drainMs = performance.now() - publishedAt;
  await Promise.all(buses.map((bus) => bus.close({ drainMs: 1000 })));
  process.stdout.write(`${JSON.stringify({ tookMs, drainMs, waiting, dropped })}\n`);
}

void main();
