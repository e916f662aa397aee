import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** A registry in front of another one, which hands out layers slowly. */
export interface SlowRegistry {
  /** As in an image's name. */
  readonly host: string;
  close(): Promise<void>;
}

const stepMs = 100;

/** `bytesPerSecond` is for each layer. */
export async function slowRegistry(url: string, bytesPerSecond: number): Promise<SlowRegistry> {
  const server = createServer((request, response) => {
    void (async () => {
      const { authorization, accept, range } = request.headers;
      const answer = await fetch(new URL(request.url ?? '/', url), {
        method: request.method ?? 'GET',
        headers: Object.entries({ authorization, accept, range }).flatMap(([name, value]) =>
          value === undefined ? [] : [[name, value] as [string, string]],
        ),
      });
      const kept = ['content-type', 'content-length', 'content-range', 'docker-content-digest'];
      response.writeHead(
        answer.status,
        Object.fromEntries([...answer.headers].filter(([name]) => kept.includes(name))),
      );
      const body = Buffer.from(await answer.arrayBuffer());
      const step = Math.ceil((bytesPerSecond * stepMs) / 1000);
      for (let at = 0; at < body.length; at += step) {
        response.write(body.subarray(at, at + step));
        if (at + step < body.length) await pause(stepMs);
      }
      response.end();
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
