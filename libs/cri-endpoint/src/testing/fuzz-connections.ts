// Random frames on connections to an endpoint, and a look at what comes out at its other end.
import net from 'node:net';
import { pause } from '@stowage/async';
import { randomFrom } from '@stowage/testing';
import { RandomFrames } from './random-frames';
import { FrameReader } from '../wire/frame-reader';

export interface FuzzOptions {
  readonly socketPath: string;
  /** Paths that the calls ask for. */
  readonly paths: readonly string[];
  readonly frames: number;
  readonly seed: number;
  say?(line: string): void;
}

export interface FuzzReport {
  readonly frames: number;
  readonly connections: number;
  /** Connections that ended with GOAWAY, by its code. */
  readonly goAways: Readonly<Record<number, number>>;
}

/** Frames of one write. */
const batch = 50;
/** How long a connection lasts after its last frame, in milliseconds. */
const lastMs = 5;
/** Connections at a time. */
const parallel = 8;

/** Sends random frames, on as many connections as it takes. */
export async function sendRandomFrames(options: FuzzOptions): Promise<FuzzReport> {
  const { socketPath, paths, frames, seed, say } = options;
  const random = randomFrom(seed);
  const goAways: Record<number, number> = {};
  let sent = 0;
  let connections = 0;
  let told = 0;

  const one = async (): Promise<void> => {
    const source = new RandomFrames(random, paths);
    const socket = net.connect(socketPath);
    const state = { isOver: false };
    socket.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const over = closed.then(() => void (state.isOver = true));
    const reader = replyReader((code) => {
      goAways[code] = (goAways[code] ?? 0) + 1;
      socket.destroy();
    });
    socket.on('data', (chunk: Buffer) => {
      // A reply that is not valid HTTP/2 throws, and fails the run.
      if (!state.isOver) reader.push(chunk);
    });
    socket.write(source.begin);
    const most = 200 + Math.floor(random() * 2_000);
    for (let count = 0; count < most && !state.isOver && sent < frames; count += batch) {
      const parts = Array.from({ length: batch }, () => source.next());
      sent += batch;
      const bytes = Buffer.concat(parts);
      const cut = Math.floor(random() * bytes.length);
      socket.write(bytes.subarray(0, cut));
      const flushed = new Promise((resolve) => socket.write(bytes.subarray(cut), resolve));
      await Promise.race([flushed, over]);
      // The endpoint is in this process: it gets a turn to read what was written.
      await new Promise(setImmediate);
    }
    // What is on its way gets some time to get there.
    await Promise.race([pause(lastMs), over]);
    socket.destroy();
    await over;
    connections++;
    if (sent - told < 100_000) return;
    told = sent;
    say?.(`${sent} frames on ${connections} connections`);
  };

  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (sent < frames) await one();
    }),
  );
  return { frames: sent, connections, goAways };
}

/** Reads what an endpoint sends; throws for what RFC 9113 forbids. */
function replyReader(onGoAway: (code: number) => void): FrameReader {
  const nothing = (): undefined => undefined;
  return new FrameReader(
    {
      onData: nothing,
      onDataEnd: nothing,
      onHeaderBlock: nothing,
      onRstStream: nothing,
      onSettings: nothing,
      onPing: nothing,
      onGoAway: (_last, code) => onGoAway(code),
    },
    1 << 20,
    { preface: false },
  );
}

/** A socket in front of a runtime that notes with which codes the runtime ends connections. */
export async function tapRuntime(
  socketPath: string,
  runtimePath: string,
): Promise<{ readonly goAways: number[]; readonly requests: () => number; close(): void }> {
  const goAways: number[] = [];
  let bytes = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const runtime = net.connect(runtimePath);
    sockets.add(client).add(runtime);
    const reader = replyReader((code) => goAways.push(code));
    for (const socket of [client, runtime]) socket.on('error', () => undefined);
    client.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      runtime.write(chunk);
    });
    runtime.on('data', (chunk: Buffer) => {
      reader.push(chunk);
      client.write(chunk);
    });
    client.once('close', () => runtime.destroy());
    runtime.once('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    goAways,
    requests: () => bytes,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
