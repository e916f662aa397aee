import { eventually } from '@stowage/testing';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { plain, serveHttp, type HttpServer } from './http-server';

const pages = {
  '/healthz': () => plain(200, 'ok\n'),
  '/boom': () => {
    throw new Error('metric broke');
  },
  '/said': (query: URLSearchParams) => ({
    ...plain(200, query.get('word') ?? 'nothing'),
    headers: { 'content-security-policy': "default-src 'none'" },
  }),
};

function get(options: object): Promise<{ status?: number; body: string; allow?: string }> {
  return new Promise((resolve, reject) => {
    request({ agent: false, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () =>
        resolve({ status: response.statusCode, body, allow: response.headers.allow }),
      );
    })
      .on('error', reject)
      .end();
  });
}

describe('HTTP server', () => {
  let server: HttpServer;
  let port: number;
  beforeAll(async () => {
    server = await serveHttp({ kind: 'tcp', host: '127.0.0.1', port: 0 }, pages);
    port = Number(server.address.split(':')[1]);
  });
  afterAll(() => server.close());

  it.each([
    ['GET', '/healthz', 200, 'ok\n'],
    ['GET', '/healthz?verbose', 200, 'ok\n'],
    ['HEAD', '/healthz', 200, ''],
    ['POST', '/healthz', 405, 'method not allowed; allowed: GET, HEAD\n'],
    ['GET', '/', 404, 'not found; there are /healthz, /boom, /said\n'],
    ['POST', '/nothing', 404, 'not found; there are /healthz, /boom, /said\n'],
    ['GET', '/constructor', 404, 'not found; there are /healthz, /boom, /said\n'],
    ['GET', '/boom', 500, 'metric broke\n'],
    ['GET', '/said', 200, 'nothing'],
    ['GET', '/said?word=a%20b?c', 200, 'a b?c'],
  ])('answers %s %s with %d', async (method, url, status, body) => {
    const reply = await get({ host: '127.0.0.1', port, method, path: url });
    expect(reply).toMatchObject({ status, body });
    if (status === 405) expect(reply.allow).toBe('GET, HEAD');
  });

  it('sends the headers of a page, and that its type is not to be guessed', async () => {
    const { headers } = await fetch(`http://127.0.0.1:${port}/said`);
    expect(headers.get('content-security-policy')).toBe("default-src 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('cache-control')).toBe('no-store');
  });

  it('names the address that is taken', async () => {
    await expect(serveHttp({ kind: 'tcp', host: '127.0.0.1', port }, pages)).rejects.toThrow(
      `cannot listen on 127.0.0.1:${port}: listen EADDRINUSE: address already in use 127.0.0.1:${port}`,
    );
  });

  it('serves on a unix socket and replaces a dead one', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'stowage-http-'));
    const socketPath = path.join(folder, 'h.sock');
    try {
      for (let round = 0; round < 2; round++) {
        const unix = await serveHttp({ kind: 'unix', path: socketPath }, pages);
        expect(unix.address).toBe(`unix://${socketPath}`);
        expect((statSync(socketPath).mode & 0o777).toString(8)).toBe('660');
        expect(await get({ socketPath, path: '/healthz' })).toMatchObject({ status: 200 });
        await unix.close();
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('serves on a unix socket that never had more rights than 0660, also with umask 0', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'stowage-http-'));
    const socketPath = path.join(folder, 'h.sock');
    const looks = path.join(folder, 'looks');
    // A process of its own, because this one makes the socket and is not interrupted in that.
    const looking = spawn(process.execPath, [
      '-e',
      `const fs = require('fs');
      const modes = new Set();
      for (;;) {
        const found = fs.statSync(${JSON.stringify(socketPath)}, { throwIfNoEntry: false });
        const mode = found && (found.mode & 0o777).toString(8);
        if (mode === undefined || modes.has(mode)) continue;
        modes.add(mode);
        fs.writeFileSync(${JSON.stringify(looks)}, [...modes].join(' '));
      }`,
    ]);
    const umask = process.umask(0);
    try {
      await eventually(
        async () => {
          const unix = await serveHttp({ kind: 'unix', path: socketPath }, pages);
          await unix.close();
          return existsSync(looks);
        },
        { what: 'the other process to see the socket', intervalMs: 0 },
      );
      for (let round = 0; round < 200; round++) {
        const unix = await serveHttp({ kind: 'unix', path: socketPath }, pages);
        await unix.close();
      }
      expect(readFileSync(looks, 'utf8')).toBe('660');
    } finally {
      process.umask(umask);
      looking.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
