// Real HTTP/2 traffic of node:http2 (nghttp2), recorded in memory, and what its own peers made of
// it.
import http2 from 'node:http2';
import { Duplex } from 'node:stream';

/** Two ends of a connection in memory; `record` gets each end's bytes as they are written. */
export function duplexPair(
  record: (from: 'client' | 'server', chunk: Buffer) => void = () => undefined,
): { client: Duplex; server: Duplex } {
  const end = (from: 'client' | 'server', peer: () => Duplex): Duplex =>
    new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        record(from, Buffer.from(chunk));
        peer().push(Buffer.from(chunk));
        done();
      },
      final: (done) => {
        peer().push(null);
        done();
      },
    });
  const client: Duplex = end('client', () => server);
  const server: Duplex = end('server', () => client);
  return { client, server };
}

/** One call to make: request headers and body, and what the server answers. */
export interface CapturedCall {
  readonly headers: Record<string, string | string[]>;
  /** Sent one write each. */
  readonly body: readonly Buffer[];
  readonly response: {
    /** 1xx answers before the final one. */
    readonly informational?: readonly Record<string, string | number>[];
    readonly headers: Record<string, string | string[]>;
    readonly body: readonly Buffer[];
    /** Absent: a reply of headers only, END_STREAM on them. */
    readonly trailers?: Record<string, string | string[]>;
    /** Reset by the server instead of an end. */
    readonly reset?: number;
  };
  /** Reset by the client once the response headers have come. */
  readonly cancel?: boolean;
  readonly priority?: { weight: number; exclusive: boolean };
}

/** Bytes of both directions in the order in which they were sent. */
export interface Traffic {
  readonly chunks: readonly { from: 'client' | 'server'; bytes: Buffer }[];
  /** Raw headers as the server's and the client's nghttp2 decoded them, per call. */
  readonly decoded: readonly { request: string[]; response: string[]; trailers: string[] }[];
}

/** Makes the calls one after the other on one connection and records it. */
export async function capture(
  calls: readonly CapturedCall[],
  options: { client?: http2.ClientSessionOptions; server?: http2.ServerOptions } = {},
): Promise<Traffic> {
  const chunks: { from: 'client' | 'server'; bytes: Buffer }[] = [];
  const decoded: { request: string[]; response: string[]; trailers: string[] }[] = [];
  const pair = duplexPair((from, bytes) => chunks.push({ from, bytes }));
  const limits = { maxSendHeaderBlockLength: 1 << 20, settings: { maxHeaderListSize: 1 << 20 } };
  const server = http2.createServer({ ...limits, ...options.server });
  let current: CapturedCall | undefined;
  server.on('stream', (...args: unknown[]) => {
    const [stream, , , rawHeaders] = args as [http2.ServerHttp2Stream, object, number, string[]];
    const { response } = current ?? {};
    decoded.push({ request: rawHeaders, response: [], trailers: [] });
    stream.on('error', () => undefined);
    stream.resume();
    stream.once('end', () => {
      if (response === undefined || stream.destroyed) return;
      for (const headers of response.informational ?? []) stream.additionalHeaders(headers);
      const { trailers } = response;
      if (response.reset !== undefined) {
        // node:http2 would end the stream before it resets it, were there response headers.
        stream.close(response.reset);
      } else if (trailers === undefined) {
        stream.respond(response.headers, { endStream: true });
      } else {
        stream.respond(response.headers, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers(trailers));
        for (const chunk of response.body) stream.write(chunk);
        stream.end();
      }
    });
  });
  server.emit('connection', pair.server);
  const session = http2.connect('http://localhost', {
    createConnection: () => pair.client,
    ...limits,
    ...options.client,
  });
  session.on('error', () => undefined);
  for (const call of calls) {
    current = call;
    const index = decoded.length;
    const stream = session.request(
      { ':method': 'POST', ':path': '/', ...call.headers },
      { endStream: false, ...call.priority },
    );
    stream.on('error', () => undefined);
    stream.on('response', (...args: unknown[]) => {
      const entry = decoded[index];
      if (entry !== undefined) entry.response = args[2] as string[];
      if (call.cancel === true) stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    stream.on('trailers', (...args: unknown[]) => {
      const entry = decoded[index];
      if (entry !== undefined) entry.trailers = args[2] as string[];
    });
    stream.resume();
    for (const chunk of call.body) stream.write(chunk);
    stream.end();
    await new Promise((resolve) => stream.once('close', resolve));
  }
  await new Promise<void>((resolve) => {
    session.ping(() => resolve());
  });
  session.destroy();
  server.close();
  return { chunks, decoded };
}

/** All bytes of one direction. */
export const bytesFrom = (traffic: Traffic, from: 'client' | 'server'): Buffer =>
  Buffer.concat(traffic.chunks.filter((chunk) => chunk.from === from).map(({ bytes }) => bytes));
