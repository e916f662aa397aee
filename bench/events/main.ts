// Times of events: the local write of publish(), the way to a subscriber, from the reply of a CRI
// call on the real stack to a subscriber, the drain of a full outbox, and many nodes at one server.
// Prints the tables of docs/benchmarks.md. Needs root and built apps.
// `npm run build && node tools/run-ts.mjs bench/events/main.ts [--calls 200] [--nodes 1000]
// [--seconds 60]`
import { openEventBus, type BusLog, type EventBus } from '@stowage/event-bus';
import { eventCatalog, eventFilter } from '@stowage/events';
import { eventually, freePort } from '@stowage/testing';
import { connect } from 'nats';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { countOption } from '../count-option';
import { manyNodes } from './many-nodes';
import { at, startProcess } from './measure';
import { replyToSubscriber, type ReplyTimes } from './reply-to-subscriber';

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '200' },
    nodes: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '60' },
  },
});
const calls = countOption('calls', values.calls);
const nodes = countOption('nodes', values.nodes);
const seconds = countOption('seconds', values.seconds);

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

/**
 * Events a second, by a process that has one core, with the server on the others where there are
 * any.
 */
async function drainRate(url: string, backlog: number): Promise<number> {
  const args = [url, path.join(folder, 'drain'), String(backlog)];
  const { lines, ended } = startProcess('drain-process.ts', args, 0);
  await ended;
  return Number(lines[0]);
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
const met = (isMet: boolean) => (isMet ? 'yes' : 'NO');

async function main(): Promise<void> {
  const away = open('away', '127.0.0.1:1');
  timeWrites(away, 2000);
  const writes = timeWrites(away, 20_000);
  await away.close();
  const { replies, statusTimes } = await replyToSubscriber(calls);
  const nats = await startNats();
  try {
    const way = await wayToSubscriber(nats.url, 2000, 1);
    const rate = await drainRate(nats.url, 50_000);
    const connection = await connect({ servers: nats.url });
    const many = await manyNodes(connection, { url: nats.url, folder, nodes, seconds });
    await connection.close();
    const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
    const isWhole = many.lost + many.twice + many.outOfOrder === 0;
    process.stdout.write(`Node.js ${process.versions.node}, ${cpus().length} x ${processor}, one run

| publish() until the event is in the outbox      | median | p99 | wanted | met |
| ----------------------------------------------- | -----: | --: | ------ | --- |
| NATS away, 20 000 events without a pause        | ${us(at(0.5, writes))} | ${us(at(0.99, writes))} | median below 300 µs | ${met(at(0.5, writes) < 0.3)} |
| NATS there, one event a millisecond             | ${us(at(0.5, way.writes))} | ${us(at(0.99, way.writes))} | median below 300 µs | ${met(at(0.5, way.writes) < 0.3)} |

| from publish() to a subscriber in another connection | median | p99 |
| ----------------------------------------------------- | -----: | --: |
| one event a millisecond, 2 000 events                 | ${ms(at(0.5, way.times))} | ${ms(at(0.99, way.times))} |

| from the reply of a call to its event in another process (${calls} calls each) | median | p99 | wanted | met |
| --- | -----: | --: | --- | --- |
${replies.map(replyRow).join('\n')}

One ContainerStatus of containerd took ${ms(at(0.5, statusTimes))} (p99 ${ms(at(0.99, statusTimes))}): the gateway asks for it after StartContainer and StopContainer.

| drain of 50 000 events, each acknowledged by JetStream | rate | wanted | met |
| ------------------------------------------------------ | ---: | --- | --- |
| one core, one connection, batches of 256               | ${rate.toFixed(0)} events/s | 5 000 events/s | ${met(rate >= 5000)} |

| ${nodes} nodes x 1 event/s for ${seconds} s, one nats-server, ${many.processes} processes | stored | lost | twice | out of order | last acknowledged | met |
| --- | ---: | ---: | ---: | ---: | ---: | --- |
| a bus, an outbox and a connection for each node | ${many.stored} | ${many.lost} | ${many.twice} | ${many.outOfOrder} | ${many.drainMs.toFixed(0)} ms after the last publish | ${met(isWhole)} |
`);
  } finally {
    await nats.stop();
  }
}

function replyRow({ call, event, times }: ReplyTimes): string {
  const [median, p99] = [at(0.5, times), at(0.99, times)];
  const wanted = 'median below 3 ms, p99 below 15 ms';
  return `| ${call} to ${event} | ${ms(median)} | ${ms(p99)} | ${wanted} | ${met(median < 3 && p99 < 15)} |`;
}

main()
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => rmSync(folder, { recursive: true, force: true }));
