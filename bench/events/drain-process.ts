// How fast a full outbox empties: `drain-process.ts NATS_URL FOLDER EVENTS`. Prints events a
// second.
import { openEventBus, type BusLog } from '@stowage/event-bus';
import { eventCatalog } from '@stowage/events';
import { eventually } from '@stowage/testing';

const [url = '', stateDir = '', events = '0'] = process.argv.slice(2);
const quiet = () => undefined;
const log: BusLog = { debug: quiet, info: quiet, warn: quiet, error: console.error };
const { data, subject } = eventCatalog.ContainerStarted.example;

function open(server: string) {
  const nats = { servers: [server] };
  return openEventBus({ stateDir, node: 'worker-1', app: 'runtime-gateway', nats, log });
}

async function main(): Promise<void> {
  const filling = open('127.0.0.1:1');
  for (let i = 0; i < Number(events); i += 1)
    filling.publish('ContainerStarted', { subject, data });
  await filling.close();
  const bus = open(url);
  await eventually(() => bus.status().connected, { what: 'the connection', timeoutMs: 10_000 });
  const begin = performance.now();
  await bus.flush();
  process.stdout.write(`${Number(events) / ((performance.now() - begin) / 1000)}\n`);
  await bus.close();
}

void main();
