import { eventually } from '@stowage/testing';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WebSocket } from 'ws';
import type { StreamingServer, StreamingServerOptions } from './streaming-server';
import { openTunnel } from './testing/open-tunnel';
import { SpdyClient } from './testing/spdy-client';
import { cat, command, listen, only, untilStopped } from './testing/targets';
import type { StreamingSession } from './types';

describe('StreamingServer', () => {
  const servers: StreamingServer[] = [];
  const clients: SpdyClient[] = [];
  const start = async (options: Partial<StreamingServerOptions> = {}) => {
    const server = await listen(options);
    servers.push(server);
    return server;
  };
  const open = async (url: string, protocols: readonly string[] = ['v4.channel.k8s.io']) => {
    const client = await SpdyClient.open(url, { protocols });
    clients.push(client);
    return client;
  };
  const session = async (server: StreamingServer, target = untilStopped) => {
    const client = await open(await server.exec(only('stdout'), target));
    const error = await client.createStream({ streamType: 'error' });
    await client.createStream({ streamType: 'stdout' });
    await eventually(() => error.isReplied);
    return { client, error };
  };
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  // D04
  it('listens on the given address alone, and gives a URL of it that is good for one connection', async () => {
    const server = await start();
    const { address, port } = server.address;
    expect(address).toBe('127.0.0.1');
    const url = await server.attach(only('stdout'), untilStopped);
    expect(url).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:${port}/cri/attach/[\\w-]{22}$`));
    expect((await open(url)).status).toBe(101);
    expect((await open(url)).status).toBe(404);
    const of = (kind: string) => url.replace(/attach\/.*/, kind);
    for (const wrong of [of('exec/x'), of(''), of('exec/'), `http://127.0.0.1:${port}/`]) {
      expect((await open(wrong)).status).toBe(404);
    }
    const other = await server.attach(only('stdout'), untilStopped);
    expect((await open(other.replace('attach', 'exec'))).status).toBe(404);
  });

  it('names loopback in the URL where it listens on all addresses, and IPv6 in brackets', async () => {
    const url = async (host: string) => (await start({ host })).exec(only('stdout'), untilStopped);
    expect(await url('0.0.0.0')).toMatch(/^http:\/\/127\.0\.0\.1:/);
    expect(await url('::')).toMatch(/^http:\/\/\[::1\]:/);
    expect(await url('::1')).toMatch(/^http:\/\/\[::1\]:/);
  });

  // D04
  it('gives no more than a thousand URLs that wait to be used', async () => {
    const server = await start();
    for (let index = 0; index < 1000; index += 1) await server.exec(only('stdout'), cat);
    expect(server.waiting).toBe(1000);
    await expect(server.exec(only('stdout'), cat)).rejects.toMatchObject({
      grpcStatus: 'RESOURCE_EXHAUSTED',
    });
  });

  it('gives a URL that nobody uses in time to nobody', async () => {
    const server = await start({ tokenTtlMs: 50 });
    const url = await server.exec(only('stdout'), cat);
    await eventually(() => server.waiting === 0);
    expect((await open(url)).status).toBe(404);
  });

  it.each([
    [only(), 'stdin, stdout, stderr: false is not allowed; allowed: at least one of them'],
    [only('stderr', 'tty'), 'stderr: true is not allowed'],
  ])('refuses streams that no session can have: %j', async (streams, message) => {
    const server = await start();
    const ask = async () => server.exec(streams, cat);
    await expect(ask()).rejects.toThrow(message);
    await expect(ask()).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
  });

  it('says what is wrong with a handshake', async () => {
    const server = await start();
    const url = () => server.exec(only('stdout'), cat);
    const plain = await fetch(await url());
    expect([plain.status, await plain.text()]).toEqual([
      400,
      'unable to upgrade: missing upgrade headers in request\n',
    ]);
    expect((await fetch(await url(), { method: 'PUT' })).status).toBe(405);
    const none = await open(await url(), ['v9.channel.k8s.io']);
    expect(none.status).toBe(403);
    expect(none.head).toContain(
      'X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io',
    );
    const socket = new WebSocket((await url()).replace('http', 'ws'), ['v9.channel.k8s.io']);
    const [, response] = (await once(socket, 'unexpected-response')) as [
      unknown,
      { statusCode: number },
    ];
    expect(response.statusCode).toBe(403);
    const spdy2 = await open((await url()).replace('127.0.0.1', 'localhost'), []);
    expect(spdy2.status).toBe(101);
    await eventually(() => server.sessions === 1);
  });

  it('has no more sessions than it may, and keeps the URL of one that has to wait', async () => {
    const server = await start({ maxSessions: 1 });
    const { client } = await session(server);
    const url = await server.exec(only('stdout'), cat);
    const refused = await open(url);
    expect([refused.status, refused.body]).toEqual([503, 'list of sessions is full: limit 1\n']);
    client.close();
    await eventually(() => server.sessions === 0);
    expect((await open(url)).status).toBe(101);
  });

  it('ends a session in which nothing comes or goes', async () => {
    const server = await start({ idleTimeoutMs: 300 });
    const busy = await session(
      server,
      command(async ({ stdout }) => {
        for (let index = 0; index < 10; index += 1) {
          stdout!.write('.');
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        return 0;
      }),
    );
    const idle = await session(server);
    await eventually(() => idle.error.isEnded);
    expect(idle.error.text).toContain('session without any traffic timed out after 300 ms');
    expect(busy.error.isEnded).toBe(false);
    await eventually(() => busy.error.isEnded);
    expect(busy.error.text).toContain('Success');
  });

  it('lets sessions end at its end, then ends them, and takes no new ones', async () => {
    const server = await start();
    let finish!: () => void;
    const target = command(() => new Promise((resolve) => (finish = () => resolve(0))));
    const good = await session(server, target);
    const stuck = await session(server);
    const waiting = await server.exec(only('stdout'), cat);
    for (const { client } of [good, stuck]) {
      client.socket.once('end', () => client.socket.end());
    }
    const closed = server.close({ drainMs: 300 });
    await expect(server.exec(only('stdout'), cat)).rejects.toMatchObject({
      grpcStatus: 'UNAVAILABLE',
    });
    expect((await open(waiting)).status).toBe(0);
    finish();
    await eventually(() => good.error.isEnded);
    expect(good.error.text).toContain('Success');
    expect(stuck.error.isEnded).toBe(false);
    await closed;
    expect(stuck.error.text).toContain('streaming server is shutting down');
  });

  it('reports the sessions with what carries them', async () => {
    const seen: (StreamingSession & { durationMs?: number })[] = [];
    const server = await start({
      listener: { started: (of) => seen.push(of), ended: (of) => seen.push(of) },
    });
    const { client } = await session(server);
    client.close();
    await eventually(() => seen.length === 2);
    expect(seen).toEqual([
      { kind: 'exec', protocol: 'spdy' },
      { kind: 'exec', protocol: 'spdy', durationMs: expect.any(Number) as number },
    ]);
    const url = await server.portForward([], { connect: () => Promise.reject(new Error()) });
    (await openTunnel(url)).close(1000);
    await eventually(() => seen.length === 4);
    expect(seen.at(-1)).toMatchObject({ kind: 'portforward', protocol: 'spdy-in-websocket' });
  });

  describe('with TLS', () => {
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(path.join(tmpdir(), 'streaming-tls-'));
      for (const name of ['one', 'two']) certificate(path.join(folder, name));
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const file = (name: string) => path.join(folder, name);
    const install = (cert: string, key: string) => {
      for (const [from, to] of [
        [`${cert}.crt`, 'tls.crt'],
        [`${key}.key`, 'tls.key'],
      ] as const) {
        writeFileSync(file('new'), readFileSync(file(from)), { mode: 0o600 });
        renameSync(file('new'), file(to));
      }
    };

    it('uses the files, also those that come later, and goes on where these are bad', async () => {
      install('one', 'one');
      const problems: unknown[] = [];
      const server = await start({
        tls: { certFile: file('tls.crt'), keyFile: file('tls.key') },
        onTlsProblem: (error) => problems.push(error),
      });
      const url = () => server.exec(only('stdout'), untilStopped);
      const status = async (trusted: string) => {
        const ca = readFileSync(file(`${trusted}.crt`));
        const client = await SpdyClient.open(await url(), { ca });
        clients.push(client);
        return client.status;
      };
      expect(await url()).toMatch(/^https:\/\/127\.0\.0\.1:/);
      expect([await status('one'), await status('two')]).toEqual([101, 0]);
      install('two', 'two');
      expect([await status('one'), await status('two')]).toEqual([0, 101]);
      expect(problems).toEqual([]);
      install('one', 'two');
      expect(await status('two')).toBe(101);
      expect(problems.length).toBeGreaterThan(0);
      install('one', 'one');
      expect(await status('one')).toBe(101);
    });

    it('does not start without them', async () => {
      await expect(
        start({ tls: { certFile: file('none.crt'), keyFile: file('none.key') } }),
      ).rejects.toMatchObject({ code: 'ENOENT' });
    });
  });
});

/** Writes a certificate for loopback that is its own authority, and its key. */
function certificate(name: string): void {
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', '2', '-subj', `/CN=${path.basename(name)}`],
      ...['-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-keyout', `${name}.key`, '-out', `${name}.crt`],
    ],
    { stdio: 'ignore' },
  );
}
