// Random frames through a checked endpoint, half of them to a node:http2 server and half to a real
// containerd, whose gRPC server is written in Go: `npm run soak -- random-frames [FRAMES [SEED]]`.
// The short form is in fuzz.it.spec.ts.
import http2 from 'node:http2';
import { PermissionDeniedError } from '@stowage/errors';
import { startStack } from '@stowage/testing';
import { createCheckedEndpoint } from '../checked-endpoint';
import { sendRandomFrames, tapRuntime } from './fuzz-connections';
import { temporaryFolder, TestClient } from './grpc-peers';
import { listen } from './http2-peers';

const [frames = 10_000_000, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);

const paths = {
  pass: '/runtime.v1.RuntimeService/Version',
  check: '/runtime.v1.ImageService/ListImages',
  refuse: '/runtime.v1.RuntimeService/StopContainer',
  local: '/runtime.v1.RuntimeService/Local',
  unknown: '/no.such.Service/Method',
};

/** Sends them to the runtime at a socket; what must not be, in words. */
async function fuzz(name: string, runtimePath: string, count: number): Promise<string[]> {
  const folder = temporaryFolder();
  const tap = await tapRuntime(folder.file('rt.sock'), runtimePath);
  const endpoint = await createCheckedEndpoint({
    socketPath: folder.file('gw.sock'),
    upstream: { address: () => folder.file('rt.sock') },
    handlers: { [paths.local]: (request) => Promise.resolve(request) },
    admit: (path) => {
      if (path === paths.refuse) throw new PermissionDeniedError(path, 'no');
      return path === paths.check ? () => Buffer.alloc(0) : undefined;
    },
    maxRequestBytes: 64 * 1024,
  });
  try {
    const report = await sendRandomFrames({
      socketPath: endpoint.socketPath,
      paths: Object.values(paths),
      frames: count,
      seed,
      say: (line) => console.log(`${name}: ${line}`),
    });
    const client = new TestClient(endpoint.socketPath);
    const { code } = await client.unary(paths.check);
    client.close();
    console.log(name, JSON.stringify({ ...report, runtimeBytes: tap.requests() }));
    const wrong = tap.goAways.filter((ended) => ended !== 0);
    const { upstreamsGivenUp = 0 } = endpoint.stats();
    return [
      ...(wrong.length > 0 ? [`${name} ended ${wrong.length} connections: ${wrong[0]}`] : []),
      ...(upstreamsGivenUp > 0 ? [`${upstreamsGivenUp} connections to ${name} were given up`] : []),
      ...(code === 0 ? [] : [`an honest client got ${code} from ${name}`]),
      ...(report.frames < count ? [`${report.frames} frames`] : []),
    ];
  } finally {
    await endpoint.close();
    tap.close();
    folder.remove();
  }
}

async function main(): Promise<void> {
  console.log(`${frames} frames, seed ${seed}`);
  const folder = temporaryFolder();
  const server = http2.createServer();
  server.on('sessionError', () => undefined);
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    stream.resume();
    stream.on('end', () => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200, 'grpc-status': '0' }, { endStream: true });
    });
  });
  const stop = await listen(server, folder.file('http2.sock'));
  const stack = await startStack({ nats: false, registries: false });
  try {
    const problems = [
      ...(await fuzz('node:http2', folder.file('http2.sock'), frames / 2)),
      ...(await fuzz(stack.runtime.name, stack.runtime.socket, frames / 2)),
    ];
    for (const problem of problems) console.log(problem);
    if (problems.length > 0) process.exitCode = 1;
  } finally {
    stop();
    await stack.down();
    folder.remove();
  }
}

void main();
