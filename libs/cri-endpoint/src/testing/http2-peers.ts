// node:http2 clients and servers on unix sockets, for what a gRPC library does not let one see.
import http2 from 'node:http2';
import net from 'node:net';

/** Opens a connection and a stream on it with these request headers. */
export function rawCall(socketPath: string, path: string, headers: http2.OutgoingHttpHeaders) {
  const session = http2.connect('http://localhost', {
    createConnection: () => net.connect(socketPath),
  });
  const stream = session.request({
    ':method': 'POST',
    ':authority': 'localhost',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => undefined);
  return { session, stream };
}

/** The next event of a client stream: headers, flags, raw headers. */
export function once(
  stream: http2.ClientHttp2Stream,
  event: 'response' | 'trailers',
): Promise<[http2.IncomingHttpHeaders, number, string[]]> {
  return new Promise((resolve) => {
    stream.once(event, (...args: unknown[]) =>
      resolve(args as [http2.IncomingHttpHeaders, number, string[]]),
    );
  });
}

/** Arguments of a server's 'stream' event. */
export type StreamEvent = [http2.ServerHttp2Stream, http2.IncomingHttpHeaders, number, string[]];

/** Names of the headers that were sent as never to be indexed. */
export const neverIndexed = (headers: object | undefined): unknown =>
  (headers as Record<symbol, unknown> | undefined)?.[http2.sensitiveHeaders];

/** Raw headers as pairs. */
export const pairs = (raw: string[]): [string, string][] =>
  raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1] ?? '']] : []));

/** Serves HTTP/2 on a socket; the answer drops everything. */
export async function listen(server: http2.Http2Server, socketPath: string): Promise<() => void> {
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return () => {
    server.close();
    for (const session of sessions) session.destroy();
  };
}
