import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { spawn, spawnSync } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import { listenUnix, removeOwn, type UnixListener } from './listen-unix';
import { temporaryFolder, until } from './testing/grpc-peers';

describe('listenUnix', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  const listeners: UnixListener[] = [];
  const listen = async (
    options: Parameters<typeof listenUnix>[0],
    onConnection: (socket: net.Socket) => void = (socket) => socket.end('hello'),
  ): Promise<UnixListener> => {
    const listener = await listenUnix(options, onConnection);
    listeners.push(listener);
    return listener;
  };

  beforeEach(() => (folder = temporaryFolder()));
  afterEach(async () => {
    for (const listener of listeners.splice(0)) await listener.close();
    folder.remove();
  });

  it('creates the folders above it and a socket that only its owner may use', async () => {
    const socketPath = folder.file('a/b/c.sock');
    await listen({ socketPath });
    expect(lstatSync(socketPath).isSocket()).toBe(true);
    expect(lstatSync(socketPath).mode & 0o777).toBe(0o600);
    expect(readdirSync(path.dirname(socketPath))).toEqual(['c.sock']);
    expect(await greeting(socketPath)).toBe('hello');
  });

  it('is out of reach of others at any time, also with umask 0', async () => {
    chmodSync(folder.path, 0o755);
    const socketPath = folder.file('s');
    const other = lookForSockets(folder.path);
    const umask = process.umask(0);
    try {
      await until('the other user looks', () => other.looks() > 0, 30_000);
      for (let round = 0; round < 100; round++) {
        const listener = await listen({ socketPath, takeOver: true, mode: 0o660, group: 12345 });
        expect(lstatSync(socketPath).mode & 0o777).toBe(0o660);
        await listener.close();
      }
      // The other user does connect where it may.
      expect(other.connected()).toEqual([]);
      await listen({ socketPath, mode: 0o666 });
      await until('the other user is in', () => other.connected().length > 0, 30_000);
      expect(other.connected()[0]).toBe(socketPath);
    } finally {
      process.umask(umask);
      other.end();
    }
    expect(readdirSync(folder.path)).toEqual(['s']);
  });

  it.each([
    ['by number', 12345],
    ['by number as text', '12345'],
  ])('takes mode and group %s', async (_what, group) => {
    const socketPath = folder.file('s');
    await listen({ socketPath, mode: 0o660, group });
    expect(lstatSync(socketPath).mode & 0o777).toBe(0o660);
    expect(lstatSync(socketPath).gid).toBe(12345);
  });

  it('takes a group by name', async () => {
    await listen({ socketPath: folder.file('s'), group: 'root' });
    expect(lstatSync(folder.file('s')).gid).toBe(0);
  });

  it('refuses a group that does not exist', async () => {
    await expect(listen({ socketPath: folder.file('s'), group: 'no-such' })).rejects.toMatchObject({
      code: 'SOCKET_PATH',
      message: `cannot listen on ${folder.file('s')}: no group named no-such`,
    });
  });

  it('takes over a live socket when asked to, and notifies its previous owner', async () => {
    const socketPath = folder.file('s');
    let replaced = 0;
    const first = await listen({ socketPath, onReplaced: () => replaced++ });
    await listen({ socketPath, takeOver: true }, (socket) => socket.end('second'));
    expect(await greeting(socketPath)).toBe('second');
    await until('the first is notified', () => replaced === 1);
    await first.close();
    expect(existsSync(socketPath)).toBe(true);
    expect(await greeting(socketPath)).toBe('second');
    expect(replaced).toBe(1);
  });

  it('takes over no file that is not a socket, even when asked to', async () => {
    const socketPath = folder.file('s');
    writeFileSync(socketPath, 'precious');
    await expect(listen({ socketPath, takeOver: true })).rejects.toMatchObject({
      code: 'SOCKET_PATH',
    });
  });

  it('takes over the socket of a process that died', async () => {
    const socketPath = folder.file('s');
    const script = `require('net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    expect(existsSync(socketPath)).toBe(true);
    await listen({ socketPath });
    expect(await greeting(socketPath)).toBe('hello');
  });

  it('refuses a socket on which somebody answers, and leaves it alone', async () => {
    const socketPath = folder.file('s');
    await listen({ socketPath });
    await expect(listen({ socketPath })).rejects.toMatchObject({
      code: 'SOCKET_IN_USE',
      message: `socket ${socketPath} is in use: another process answers on it`,
    });
    expect(await greeting(socketPath)).toBe('hello');
    expect(readdirSync(folder.path)).toEqual(['s']);
  });

  it('refuses a file that is not a socket', async () => {
    writeFileSync(folder.file('s'), 'precious');
    await expect(listen({ socketPath: folder.file('s') })).rejects.toMatchObject({
      code: 'SOCKET_PATH',
      message: `cannot listen on ${folder.file('s')}: a file that is not a socket exists`,
    });
  });

  it.each([
    ['a path that is too long', `/tmp/${'x'.repeat(110)}`, /115 bytes, a unix socket path has/],
    ['a path that is not absolute', 'run/x.sock', /not an absolute path/],
    ['a folder that cannot be made', '/dev/null/x.sock', /folder \/dev\/null: EEXIST|ENOTDIR/],
    [
      'one that the system does not make',
      '/proc/stowage/a/x.sock',
      /folder .*\/a: ENOENT: .*mkdir/,
    ],
  ])('refuses %s', async (_what, socketPath, message) => {
    await expect(listen({ socketPath })).rejects.toMatchObject({
      code: 'SOCKET_PATH',
      message: expect.stringMatching(message) as string,
    });
  });

  it('removes its file when closed, and not the file of whoever took the path since', async () => {
    const socketPath = folder.file('s');
    const first = await listen({ socketPath });
    await first.close();
    expect(existsSync(socketPath)).toBe(false);
    const second = await listen({ socketPath });
    spawnSync('mv', [socketPath, folder.file('moved')]);
    const third = await listen({ socketPath });
    await second.close();
    expect(existsSync(socketPath)).toBe(true);
    await third.close();
    expect(existsSync(socketPath)).toBe(false);
  });

  it('puts back a file that was renamed onto the path while it was removing its own', async () => {
    const file = folder.file('s');
    writeFileSync(file, 'ours');
    let looks = 0;
    await removeOwn(file, folder.file('aside'), () => {
      if (++looks > 1) return false;
      writeFileSync(folder.file('next'), 'theirs');
      renameSync(folder.file('next'), file);
      return true;
    });
    expect(readFileSync(file, 'utf8')).toBe('theirs');
    expect(readdirSync(path.dirname(file))).toEqual(['s']);
  });

  it('serves who connected before it was closed and leaves open connections alone', async () => {
    const socketPath = folder.file('s');
    const sockets: net.Socket[] = [];
    const listener = await listen({ socketPath }, (socket) => sockets.push(socket));
    const clients = [net.connect(socketPath), net.connect(socketPath)];
    await Promise.all(clients.map((c) => new Promise((resolve) => c.once('connect', resolve))));
    await listener.close();
    await until('both are served', () => sockets.length === 2);
    const answers = clients.map((c) => new Promise((resolve) => c.once('data', resolve)));
    for (const socket of sockets) socket.write('still here');
    expect((await Promise.all(answers)).map(String)).toEqual(['still here', 'still here']);
    for (const socket of [...clients, ...sockets]) socket.destroy();
  });

  it('makes the folder readable by others and keeps the mode of one that exists', async () => {
    chmodSync(folder.path, 0o710);
    await listen({ socketPath: folder.file('new/s') });
    expect(statSync(folder.path).mode & 0o777).toBe(0o710);
    expect(statSync(folder.file('new')).mode & 0o777).toBe(0o755);
  });
});

/**
 * Another user of the machine, who connects to every socket below a folder as soon as it is there.
 */
function lookForSockets(folder: string): {
  looks(): number;
  connected(): string[];
  end(): void;
} {
  const script = `
    const fs = require('node:fs'), net = require('node:net'), path = require('node:path');
    const list = (folder) => { try { return fs.readdirSync(folder, { withFileTypes: true }); } catch { return []; } };
    const look = (folder) => list(folder).forEach((found) => {
      const file = path.join(folder, found.name);
      if (found.isDirectory()) look(file);
      if (!found.isSocket()) return;
      const socket = net.connect(file, () => { console.log(file); socket.destroy(); });
      socket.on('error', () => undefined);
    });
    console.log('looking');
    (function again() { for (let i = 0; i < 20; i++) look(${JSON.stringify(folder)}); setImmediate(again); })();
  `;
  const child = spawn(process.execPath, ['-e', script], {
    // Groups go too. The process itself may not change them where its Node.js was built with
    // io_uring, as Debian 13's is.
    uid: 65534,
    gid: 65534,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => (said += String(chunk)));
  const lines = (): string[] => said.split('\n').filter((line) => line !== '');
  return {
    looks: () => lines().filter((line) => line === 'looking').length,
    connected: () => lines().filter((line) => line !== 'looking'),
    end: () => void child.kill('SIGKILL'),
  };
}

function greeting(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = net.connect(socketPath);
    socket.on('data', (chunk) => (text += String(chunk)));
    socket.on('error', reject);
    socket.on('end', () => resolve(text));
  });
}
