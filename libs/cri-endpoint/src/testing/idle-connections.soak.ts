// Connections that do nothing, to a checked endpoint in a process of its own:
// `npm run soak -- idle-connections [CONNECTIONS]`. The short form is in attacks.it.spec.ts.
import { execFileSync, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { createCheckedEndpoint } from '../checked-endpoint';
import { methodPath, startTestServer, temporaryFolder, TestClient } from './grpc-peers';
import { clientPreface } from '../wire/frame-reader';
import { settingsAckFrame, settingsFrame } from '../wire/raw-frames';

const echo = methodPath('Echo');
/** What each may take of memory here, and an honest call of time beside all of them. */
const maxBytesEach = 16 * 1024;
const maxCallMs = 1_000;
/** Files that either side has open beside its connections. */
const otherFiles = 200;
/** No more at once than the queue of the socket takes. */
const atOnce = 100;

const [first = '10000', socketPath, upstream] = process.argv.slice(2);

/** The endpoint's side. */
async function serve(socket: string, address: string): Promise<void> {
  await createCheckedEndpoint({
    socketPath: socket,
    upstream: { address: () => address },
    handlers: {},
  });
  process.on('disconnect', () => process.exit());
  process.send?.('listening');
}

const residentBytes = (pid = 0): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

/**
 * Raises the limit of open files of this process, and of those that it starts, where it is lower.
 */
function allowFiles(count: number): void {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const most = /Max open files +\d+ +(\d+)/.exec(limits)?.[1];
  if (most === undefined || Number(most) >= count) return;
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${count}:${count}`]);
}

/** A connection that has begun in HTTP/2, once it was answered. */
function idle(socket: string): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const client = net.connect(socket);
    client.once('error', reject);
    client.write(Buffer.concat([clientPreface, settingsFrame(), settingsAckFrame()]));
    client.once('data', () => resolve(client.resume()));
  });
}

async function main(count: number): Promise<void> {
  // A socket takes a quarter of what may be open.
  allowFiles(4 * (count + otherFiles));
  const folder = temporaryFolder();
  const server = await startTestServer(folder.file('rt.sock'));
  const socket = folder.file('gw.sock');
  const child = fork(__filename, [first, socket, server.socketPath], {
    execArgv: process.execArgv,
  });
  await new Promise((resolve) => child.once('message', resolve));
  const sockets: net.Socket[] = [];
  try {
    const honest = new TestClient(socket);
    await honest.unary(echo, 'x');
    const before = residentBytes(child.pid);
    while (sockets.length < count) {
      sockets.push(...(await Promise.all(Array.from({ length: atOnce }, () => idle(socket)))));
    }
    const bytesEach = (residentBytes(child.pid) - before) / sockets.length;
    const began = performance.now();
    const { code } = await honest.unary(echo, 'x');
    const callMs = performance.now() - began;
    honest.close();
    const stillOpen = sockets.filter(({ destroyed }) => !destroyed).length;
    console.log(
      `${stillOpen} connections, ${Math.round(bytesEach)} bytes each, a call in ${callMs.toFixed(1)} ms`,
    );
    if (stillOpen < count || bytesEach > maxBytesEach || callMs > maxCallMs || code !== 0) {
      process.exitCode = 1;
    }
  } finally {
    for (const one of sockets) one.destroy();
    child.disconnect();
    server.kill();
    folder.remove();
  }
}

if (socketPath !== undefined && upstream !== undefined) void serve(socketPath, upstream);
else void main(Number(first));
