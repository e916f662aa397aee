// Times of the event bus: the local write of publish(), the way to a subscriber, and the drain of a full outbox.
// `node tools/run-ts.mjs bench/events/main.ts`; prints the tables of docs/benchmarks.md. Needs nats-server.
import { openEventBus, type BusLog, type EventBus } from '@stowage/event-bus';
import { eventCatalog, eventFilter } from '@stowage/events';
import { eventually, freePort } from '@stowage/testing';
import { connect } from 'nats';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';

const quiet = () => undefined;
const log: BusLog = { debug: quiet, info: quiet, warn: quiet, error: console.error };
const { data, subject } = eventCatalog.ContainerStarted.example;
const folder = mkdtempSync(path.join(process.env.BENCH_DIR ?? tmpdir(), 'stowage-bench-'));

function open(name: string, url: string): EventBus {
  return openEventBus({
    stateDir: path.join(folder, name),
    node: 'worker-1',
    app: 'runtime-gateway',
    nats: { servers: [url] },
    log,
  });
}

const publish = (bus: EventBus) => bus.publish('ContainerStarted', { subject, data });

/** Milliseconds at a share of the sorted times. */
function at(share: number, times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function timeWrites(bus: EventBus, count: number): number[] {
  return Array.from({ length: count }, () => {
    const begin = performance.now();
    publish(bus);
    return performance.now() - begin;
  });
}

async function startNats(): Promise<{ url: string; stop: () => Promise<void> }> {
  const port = await freePort();
  const store = path.join(folder, 'nats');
  const args = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', store];
  const child = spawn('nats-server', args, { stdio: 'ignore' });
  const url = `127.0.0.1:${port}`;
  await eventually(() => connect({ servers: url }).then(async (c) => c.close().then(() => true)), {
    what: 'nats-server to answer',
    timeoutMs: 10_000,
  });
  const stop = async () => {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill();
    await exited;
  };
  return { url, stop };
}

async function drainRate(url: string, backlog: number): Promise<number> {
  const filling = open('drain', '127.0.0.1:1');
  for (let i = 0; i < backlog; i += 1) publish(filling);
  await filling.close();
  const bus = open('drain', url);
  await eventually(() => bus.status().connected, { what: 'the connection', timeoutMs: 10_000 });
  const begin = performance.now();
  await bus.flush();
  const rate = backlog / ((performance.now() - begin) / 1000);
  await bus.close();
  return rate;
}

async function wayToSubscriber(url: string, count: number, everyMs: number) {
  const bus = open('way', url);
  const connection = await connect({ servers: url });
  const begun = new Map<string, number>();
  const times: number[] = [];
  const messages = connection.subscribe(eventFilter({ name: 'ContainerStarted' }), {
    callback: (_error, message) => {
      const began = begun.get(message.headers?.get('Nats-Msg-Id') ?? '');
      if (began !== undefined) times.push(performance.now() - began);
    },
  });
  await connection.flush();
  await bus.flush();
  const writes: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const begin = performance.now();
    const id = publish(bus);
    writes.push(performance.now() - begin);
    begun.set(id, begin);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  await eventually(() => times.length >= count, { what: 'all events', timeoutMs: 30_000 });
  messages.unsubscribe();
  await connection.close();
  await bus.close();
  return { times, writes };
}

const us = (ms: number) => `${(ms * 1000).toFixed(0)} µs`;
const ms = (value: number) => `${value.toFixed(2)} ms`;

async function main(): Promise<void> {
  const away = open('away', '127.0.0.1:1');
  timeWrites(away, 2000);
  const writes = timeWrites(away, 20_000);
  await away.close();
  const nats = await startNats();
  try {
    const way = await wayToSubscriber(nats.url, 2000, 1);
    const rate = await drainRate(nats.url, 50_000);
    const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
    process.stdout.write(`Node.js ${process.versions.node}, ${processor}, one run

| publish() until the event is in the outbox      | median | p99 |
| ----------------------------------------------- | -----: | --: |
| NATS away, 20 000 events without a pause        | ${us(at(0.5, writes))} | ${us(at(0.99, writes))} |
| NATS there, one event a millisecond             | ${us(at(0.5, way.writes))} | ${us(at(0.99, way.writes))} |

| from publish() to a subscriber in another connection | median | p99 |
| ----------------------------------------------------- | -----: | --: |
| one event a millisecond, 2 000 events                 | ${ms(at(0.5, way.times))} | ${ms(at(0.99, way.times))} |

| drain of 50 000 events, each acknowledged by JetStream | rate |
| ------------------------------------------------------ | ---: |
| one connection, batches of 256                         | ${rate.toFixed(0)} events/s |
`);
  } finally {
    await nats.stop();
  }
}

main()
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => rmSync(folder, { recursive: true, force: true }));
