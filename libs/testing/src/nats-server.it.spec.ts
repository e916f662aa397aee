import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { connect } from 'nats';
import { eventually, eventuallyPasses } from './eventually';
import { TestNatsServer } from './nats-server';

const servers: TestNatsServer[] = [];
const keep = (server: TestNatsServer): TestNatsServer => {
  servers.push(server);
  return server;
};
afterEach(async () => {
  for (const server of servers.splice(0)) await server.remove();
});

async function hasJetStream({ url }: TestNatsServer, login = {}): Promise<boolean> {
  const connection = await connect({ servers: url, ...login });
  try {
    return connection.info?.jetstream === true;
  } finally {
    await connection.close();
  }
}

it('it is configured anew with each start, on the port that it keeps', async () => {
  const server = keep(await TestNatsServer.absent({ env: { PASSWORD: 'of-environment' } }));
  await expect(connect({ servers: server.url })).rejects.toThrow('CONNECTION_REFUSED');
  await server.start();
  expect(await hasJetStream(server)).toBe(true);
  await server.kill();
  await server.start({
    jetStream: false,
    config: 'authorization { user: u, password: $PASSWORD }',
  });
  await expect(connect({ servers: server.url })).rejects.toThrow('Authorization Violation');
  expect(await hasJetStream(server, { user: 'u', pass: 'of-environment' })).toBe(false);
  await server.stop();
  await server.start();
  expect(await hasJetStream(server)).toBe(true);
});

it('a configuration that it does not take is an error with the words of the server', async () => {
  await expect(TestNatsServer.start({ config: 'no_such_option: 1' })).rejects.toThrow(
    /nats-server ended with exit code 1 before it answered\n.*no_such_option/s,
  );
});

it('what it kept in JetStream is there after a kill, and gone with its folder', async () => {
  const server = keep(await TestNatsServer.start());
  const store = async <T>(use: (js: Awaited<ReturnType<typeof open>>) => Promise<T>) => {
    const manager = await open();
    try {
      return await use(manager);
    } finally {
      await manager.connection.close();
    }
  };
  const open = async () => {
    const connection = await connect({ servers: server.url });
    return { connection, streams: (await connection.jetstreamManager()).streams };
  };
  await store(({ streams }) => streams.add({ name: 'KEPT', subjects: ['kept'] }));
  await server.kill();
  await server.start();
  expect((await store(({ streams }) => streams.info('KEPT'))).config.subjects).toEqual(['kept']);
  await server.remove();
  expect([server.running, existsSync(server.dir)]).toEqual([false, false]);
});

it('it ends with the process that started it, also when that is killed', async () => {
  const script = path.join(__dirname, '../testdata/leave-nats.ts');
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', require.resolve('tsx'), script],
    { encoding: 'utf8', cwd: path.resolve(__dirname, '../../..') },
  );
  const { url, pid, dir } = JSON.parse(stdout || JSON.stringify(stderr)) as {
    url: string;
    pid: number;
    dir: string;
  };
  const isRunning = () => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(dir);
    } catch {
      return false;
    }
  };
  await eventually(() => !isRunning(), { what: 'the server to be gone' });
  // The kernel may still reset what is connected to a process that was killed a moment ago.
  await eventuallyPasses(() =>
    expect(connect({ servers: url })).rejects.toThrow('CONNECTION_REFUSED'),
  );
  rmSync(dir, { recursive: true });
});
