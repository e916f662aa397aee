import { StreamingServer } from '@stowage/cri-streaming';
import { SpdyClient } from '@stowage/cri-streaming/testing';
import { eventually, eventuallyPasses, startStack, type Stack } from '@stowage/testing';
import { once } from 'node:events';
import { WebSocket, type RawData } from 'ws';
import { EngineConnection } from '../engine/engine-connection';
import { inspectedThings } from '../testing/inspected-things';
import { ExecVerbs } from './exec-verbs';
import type { ExecKillReason } from './running-things';

/** Exec, attach and port-forward on a real Docker Engine. */
let stack: Stack;
let connection: EngineConnection;
let verbs: ExecVerbs;
let image: string;
let app: string;
const killed: [ExecKillReason, number][] = [];
const clients: { close(): void }[] = [];
const call = { signal: new AbortController().signal };

const open = async () => {
  connection = new EngineConnection({ socketPath: stack.docker.socket, timeoutMs: 30_000 });
  verbs = new ExecVerbs({
    connection,
    things: inspectedThings(stack.docker),
    server: await StreamingServer.listen({
      host: '127.0.0.1',
      port: 0,
      idleTimeoutMs: 60_000,
      maxSessions: 256,
    }),
    orphanGraceMs: 500,
    listener: { killed: (reason, left) => killed.push([reason, left]) },
  });
  await eventually(() => connection.availability().available);
};

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  const pushed = await stack.pushImage({ name: 'team/exec' });
  image = pushed.reference;
  await stack.docker.api('POST', `/images/create?fromImage=${encodeURIComponent(image)}`);
  await open();
  app = await run({ Cmd: ['sleep', '100000'] });
}, 120_000);

afterEach(() => {
  killed.length = 0;
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await verbs.close();
  await connection.close();
  await stack.down();
});

async function run(config: Record<string, unknown>): Promise<string> {
  const { Id } = (await stack.docker.api('POST', '/containers/create', {
    Image: image,
    ...config,
    HostConfig: { Init: false, NetworkMode: 'none', ...(config.HostConfig as object | undefined) },
  })) as { Id: string };
  await stack.docker.api('POST', `/containers/${Id}/start`);
  return Id;
}

const execSync = async (command: readonly string[], { timeout = 0, signal = call.signal } = {}) => {
  const answer = await verbs.execSync(
    { containerId: app, cmd: [...command], timeout: BigInt(timeout) },
    { signal },
  );
  return {
    ...answer,
    stdout: Buffer.from(answer.stdout).toString(),
    stderr: Buffer.from(answer.stderr).toString(),
  };
};
const shell = (script: string) => ['sh', '-c', script];
const processes = async (id = app): Promise<string[]> => {
  const { Processes } = (await stack.docker.api(
    'GET',
    `/containers/${id}/top?ps_args=-eo%20pid,args`,
  )) as {
    Processes: string[][];
  };
  return Processes.map(([, args = '']) => args);
};
const streams = { stdin: true, stdout: true, stderr: true, tty: false };

/** A session over SPDY, version 4. */
async function spdy(url: string, types: readonly string[]) {
  const client = await SpdyClient.open(url, { protocols: ['v4.channel.k8s.io'] });
  clients.push(client);
  const opened = new Map(
    await Promise.all(
      types.map(
        async (streamType) => [streamType, await client.createStream({ streamType })] as const,
      ),
    ),
  );
  const of = (type: string) => opened.get(type)!;
  return {
    client,
    of,
    write: (text: string) => client.write(of('stdin'), text),
    end: () => client.end(of('stdin')),
    text: (type: string) => of(type).text,
    status: async () => {
      await eventually(() => of('error').isEnded, { timeoutMs: 5000 });
      return JSON.parse(of('error').text) as { status: string; message?: string };
    },
  };
}

/** A session over WebSocket, version 5. */
async function webSocket(url: string) {
  const socket = new WebSocket(url.replace('http', 'ws'), ['v5.channel.k8s.io']);
  clients.push({ close: () => socket.terminate() });
  const texts = ['', '', '', ''];
  socket.on('message', (data: RawData) => {
    const message = data as Buffer;
    const channel = message[0]!;
    texts[channel] = (texts[channel] ?? '') + message.toString('latin1', 1);
  });
  const closed = once(socket, 'close');
  await once(socket, 'open');
  const send = (channel: number, text: string) =>
    socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]));
  return {
    socket,
    send,
    write: (text: string) => send(0, text),
    end: () => socket.send(Buffer.from([255, 0])),
    text: (type: string) => texts[['stdin', 'stdout', 'stderr', 'error'].indexOf(type)]!,
    status: async () => {
      await closed;
      return JSON.parse(texts[3]!) as { status: string; message?: string };
    },
  };
}

describe('ExecSync', () => {
  it('answers outputs and exit code', async () => {
    expect(await execSync(shell('echo out; echo err >&2; exit 3'))).toEqual({
      stdout: 'out\n',
      stderr: 'err\n',
      exitCode: 3,
    });
    expect((await execSync(['true'])).exitCode).toBe(0);
    expect((await execSync(shell('kill -9 $$'))).exitCode).toBe(137);
    expect((await execSync(shell('exit 127'))).exitCode).toBe(127);
  });

  it('answers no exit code for a command that cannot be started', async () => {
    for (const command of ['/nowhere/program', 'no-such-program', '/etc']) {
      const error = (await execSync([command]).catch((reason: unknown) => reason)) as {
        grpcStatus: string;
        message: string;
      };
      expect([command, error.grpcStatus]).toEqual([command, 'UNKNOWN']);
      expect(error.message).toContain(command);
    }
  });

  it('refuses no command, and a container that is not there or does not run', async () => {
    await expect(execSync([])).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
    const ended = await run({ Cmd: ['true'] });
    const exec = (containerId: string) =>
      verbs.execSync({ containerId, cmd: ['true'], timeout: 0n }, call);
    await eventuallyPasses(() =>
      expect(exec(ended)).rejects.toMatchObject({ grpcStatus: 'FAILED_PRECONDITION' }),
    );
    await expect(exec('f'.repeat(64))).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
  });

  it('keeps 16 MiB of an output, and lets the command write the rest', async () => {
    const { stdout, exitCode } = await execSync(
      shell('head -c 20000000 /dev/zero && echo done > /written'),
    );
    expect([stdout.length, exitCode]).toEqual([16 * 1024 * 1024, 0]);
    expect((await execSync(['cat', '/written'])).stdout).toBe('done\n');
  });

  it('ends with the container, and invents no exit code then', async () => {
    const sandbox = await run({ Cmd: ['sleep', '100000'] });
    // Its processes are among those of another one, as in a pod: none ends with it by itself.
    const HostConfig = { NetworkMode: `container:${sandbox}`, PidMode: `container:${sandbox}` };
    for (let round = 0; round < 15; round += 1) {
      const Cmd = shell('while [ ! -e /end ]; do sleep 0.003; done');
      const containerId = await run({ Cmd, HostConfig });
      const cmd = ['touch', '/end'];
      const before = performance.now();
      const answer = await verbs.execSync({ containerId, cmd, timeout: 20n }, call).then(
        ({ exitCode }) => exitCode,
        (error: unknown) => (error as { grpcStatus: string }).grpcStatus,
      );
      // Later engines report 137 for a command that they have killed with its container.
      expect([0, 137, 'FAILED_PRECONDITION']).toContain(answer);
      expect(performance.now() - before).toBeLessThan(5000);
    }
  }, 120_000);

  // D01
  it('kills what has not ended in its time, with all it has started', async () => {
    const before = (await processes()).length;
    const trees = shell('sleep 300 & setsid sh -c "sleep 300; true" & sleep 300');
    for (const command of [['sleep', '300'], trees, shell('trap "" TERM; sleep 300; true')]) {
      const started = performance.now();
      await expect(execSync(command, { timeout: 1 })).rejects.toMatchObject({
        grpcStatus: 'DEADLINE_EXCEEDED',
        message: 'command timed out after 1000 ms',
      });
      expect(performance.now() - started).toBeLessThan(3000);
      expect((await processes()).filter((args) => args.includes('sleep 300'))).toEqual([]);
    }
    await Promise.all(
      Array.from({ length: 20 }, () =>
        execSync(['sleep', '300'], { timeout: 1 }).catch(() => undefined),
      ),
    );
    // An engine with so much to do at once may start a command when nobody waits for it any more.
    await eventuallyPasses(async () => expect(await processes()).toHaveLength(before));
    await eventually(() => killed.length === 23);
    expect(killed.every(([reason, left]) => reason === 'time-limit' && left === 0)).toBe(true);
  });

  it('kills the command of a caller that gives up, at whatever time', async () => {
    const before = (await processes()).length;
    for (const afterMs of [0, 5, 20, 50, 500]) {
      const caller = new AbortController();
      const reason = new Error('the caller is gone');
      const ran = execSync(['sleep', '300'], { signal: caller.signal });
      setTimeout(() => caller.abort(reason), afterMs);
      await expect(ran).rejects.toBe(reason);
    }
    await eventuallyPasses(async () => expect(await processes()).toHaveLength(before));
  });

  // D23
  it('has the supplemental groups of the container', async () => {
    const id = await run({
      Cmd: ['sleep', '100000'],
      User: '1000',
      HostConfig: { GroupAdd: ['1234'] },
    });
    const { stdout } = await verbs.execSync({ containerId: id, cmd: ['id'], timeout: 0n }, call);
    expect(Buffer.from(stdout).toString()).toMatch(/groups=.*\b1234\b/);
  });

  it('ends with the command, though what that has started holds its outputs', async () => {
    // In a container of its own: the engine takes the ends of a container's commands by turns, and
    // waits for these outputs.
    const containerId = await run({ Cmd: ['sleep', '100000'] });
    const started = performance.now();
    const request = { containerId, cmd: shell('sleep 20 & echo done'), timeout: 0n };
    const { stdout } = await verbs.execSync(request, call);
    expect(Buffer.from(stdout).toString()).toBe('done\n');
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

describe('Exec', () => {
  const exec = async (cmd: readonly string[], { tty = false } = {}) =>
    (await verbs.exec({ containerId: app, cmd: [...cmd], ...streams, tty, stderr: !tty }, call))
      .url;

  // D02
  it.each(['SPDY', 'WebSocket'])('ends the input of a command: %s', async (protocol) => {
    const url = await exec(['cat']);
    const started = performance.now();
    const session =
      protocol === 'SPDY'
        ? await spdy(url, ['error', 'stdin', 'stdout', 'stderr'])
        : await webSocket(url);
    session.write('abc');
    session.end();
    expect(await session.status()).toEqual({ metadata: {}, status: 'Success' });
    expect(session.text('stdout')).toBe('abc');
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('reports exit codes, both outputs, and what could not be started', async () => {
    const failed = await webSocket(await exec(shell('echo out; echo err >&2; exit 3')));
    expect(await failed.status()).toMatchObject({
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '3' }] },
    });
    expect([failed.text('stdout'), failed.text('stderr')]).toEqual(['out\n', 'err\n']);
    const none = await webSocket(await exec(['/nowhere/program']));
    const { message } = await none.status();
    expect(message).toContain('/nowhere/program');
    expect([none.text('stdout'), none.text('stderr')]).toEqual(['', '']);
  });

  it('has a terminal of the size of the client, which gets all keys', async () => {
    const script =
      'stty raw -echo; echo ready; head -c 4 | od -An -tx1; while ! stty size | grep "40 120"; do sleep 0.1; done';
    const session = await webSocket(await exec(shell(script), { tty: true }));
    session.send(4, '{"Width":100,"Height":30}');
    await eventually(() => session.text('stdout').includes('ready'));
    // Ctrl-p, ctrl-q: with these the engine would leave a terminal.
    session.write('\x10\x11\x10\x11');
    await eventually(() => session.text('stdout').includes(' 10 11 10 11'));
    session.send(4, '{"Width":120,"Height":40}');
    expect(await session.status()).toMatchObject({ status: 'Success' });
    const first = await webSocket(await exec(shell('sleep 0.5; stty size'), { tty: true }));
    first.send(4, '{"Width":100,"Height":30}');
    await first.status();
    expect(first.text('stdout')).toBe('30 100\r\n');
  });

  it('brings large input and output whole', async () => {
    const session = await spdy(await exec(['cat']), ['error', 'stdin', 'stdout', 'stderr']);
    for (let index = 0; index < 200; index += 1) session.write('x'.repeat(50_000));
    session.end();
    expect(await session.status()).toMatchObject({ status: 'Success' });
    expect(session.of('stdout').bytes).toBe(10_000_000);
  });

  it('ends the input when the client is gone, and kills what runs on', async () => {
    const before = (await processes()).length;
    const cat = await webSocket(await exec(['cat']));
    cat.write('abc');
    await eventually(() => cat.text('stdout') === 'abc');
    const ended = await spdy(await exec(['sleep', '300']), ['error', 'stdin', 'stdout', 'stderr']);
    await eventually(async () => (await processes()).length === before + 2);
    cat.socket.terminate();
    ended.client.close();
    await eventuallyPasses(async () => expect(await processes()).toHaveLength(before));
    await eventuallyPasses(() => expect(killed).toEqual([['client-gone', 0]]));
  });

  it('refuses streams that cannot be, and a command that there is not', async () => {
    const refused = { grpcStatus: 'INVALID_ARGUMENT' };
    const request = { containerId: app, cmd: ['true'], ...streams };
    await expect(verbs.exec({ ...request, tty: true }, call)).rejects.toMatchObject(refused);
    await expect(verbs.exec({ ...request, cmd: [] }, call)).rejects.toMatchObject(refused);
  });
});

describe('Attach', () => {
  const attach = async (containerId: string, of: object = {}) =>
    (await verbs.attach({ containerId, ...streams, ...of }, call)).url;

  it('has the streams of the container, whose input ends with that of its first client', async () => {
    const id = await run({
      Cmd: shell('cat; echo err >&2; sleep 0.3'),
      OpenStdin: true,
      StdinOnce: true,
    });
    const session = await spdy(await attach(id), ['error', 'stdin', 'stdout', 'stderr']);
    session.write('abc');
    session.end();
    expect(await session.status()).toEqual({ metadata: {}, status: 'Success' });
    expect([session.text('stdout'), session.text('stderr')]).toEqual(['abc', 'err\n']);
  });

  it('leaves the container alone when a client goes, with its input open', async () => {
    const id = await run({ Cmd: ['cat'], OpenStdin: true });
    const first = await webSocket(await attach(id));
    first.write('one');
    await eventually(() => first.text('stdout') === 'one');
    // The output goes on after the end of the input.
    first.end();
    const second = await webSocket(await attach(id));
    second.write('two');
    await eventually(() => second.text('stdout') === 'two' && first.text('stdout') === 'onetwo');
    first.socket.terminate();
    second.write('!');
    await eventually(() => second.text('stdout') === 'two!');
    await stack.docker.api('POST', `/containers/${id}/kill`);
    expect(await second.status()).toMatchObject({ status: 'Success' });
  });

  it('has a terminal of the size of the client, which gets all keys', async () => {
    const id = await run({
      Cmd: shell(
        'stty raw -echo; echo ready; head -c 2 | od -An -tx1; while ! stty size | grep "40 120"; do sleep 0.1; done',
      ),
      OpenStdin: true,
      Tty: true,
    });
    await eventually(async () =>
      String(await stack.docker.api('GET', `/containers/${id}/logs?stdout=1`)).includes('ready'),
    );
    const session = await webSocket(await attach(id, { tty: true, stderr: false }));
    session.write('\x10\x11');
    await eventually(() => session.text('stdout').includes(' 10 11'));
    session.send(4, '{"Width":120,"Height":40}');
    expect(await session.status()).toMatchObject({ status: 'Success' });
  });

  it('refuses input for a container without', async () => {
    await expect(attach(app)).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
  });
});

describe('PortForward', () => {
  const ask = async (client: SpdyClient, requestID: string, port: number) => {
    const headers = { port: String(port), requestID };
    const error = await client.createStream({ ...headers, streamType: 'error' });
    const data = await client.createStream({ ...headers, streamType: 'data' });
    client.write(data, 'GET /hello HTTP/1.0\r\n\r\n');
    await eventually(() => error.isEnded && (data.isEnded || data.isReset));
    return [error.text, data.text.split('\r\n\r\n').at(-1)];
  };
  const forward = async (podSandboxId: string) => {
    const { url } = await verbs.portForward({ podSandboxId, port: [] }, call);
    const client = await SpdyClient.open(url, { protocols: ['portforward.k8s.io'] });
    clients.push(client);
    return client;
  };

  // D03
  it('reaches what listens on either loopback address of the sandbox, and reports what does not', async () => {
    const id = await run({
      Cmd: shell(
        "echo from the pod > /hello; httpd -h / -p '[::1]:8080'; httpd -h / -p 127.0.0.1:8081; sleep 100000",
      ),
      HostConfig: { Sysctls: { 'net.ipv6.conf.all.disable_ipv6': '0' } },
    });
    const client = await forward(id);
    const refused = ['error forwarding port 8082: connect ECONNREFUSED 127.0.0.1:8082', ''];
    await eventuallyPasses(async () =>
      expect(await ask(client, '0', 8080)).toEqual(['', 'from the pod\n']),
    );
    expect(await ask(client, '1', 8082)).toEqual(refused);
    expect(await ask(client, '2', 8081)).toEqual(['', 'from the pod\n']);
    const many = Array.from({ length: 20 }, (_, index) => ask(client, `many-${index}`, 8081));
    expect(await Promise.all(many)).toEqual(many.map(() => ['', 'from the pod\n']));
    await stack.docker.api('DELETE', `/containers/${id}?force=1`);
    const [gone] = await ask(client, '3', 8083);
    expect(gone).not.toBe('');
    await expect(forward(id)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
  });

  it('reaches ports of the host for a sandbox in its network', async () => {
    const id = await run({ Cmd: ['sleep', '100000'], HostConfig: { NetworkMode: 'host' } });
    const client = await forward(id);
    const [, port = ''] = stack.registry.open.host.split(':');
    const [error, data] = await ask(client, '0', Number(port));
    expect(error).toBe('');
    expect(data).toBeDefined();
  });

  it('refuses ports that are none', async () => {
    await expect(verbs.portForward({ podSandboxId: app, port: [0] }, call)).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
    });
  });
});

it('reports an error, and no exit code, when the engine ends during a session', async () => {
  const id = await run({ Cmd: ['cat'], OpenStdin: true });
  const { url } = await verbs.exec({ containerId: app, cmd: ['cat'], ...streams }, call);
  const exec = await webSocket(url);
  const attach = await webSocket((await verbs.attach({ containerId: id, ...streams }, call)).url);
  for (const session of [exec, attach]) {
    session.write('abc');
    await eventually(() => session.text('stdout') === 'abc');
  }
  const sync = execSync(['sleep', '300']).catch((error: unknown) => error);
  await eventually(async () => (await processes()).some((args) => args.includes('sleep 300')));
  await stack.docker.kill();
  for (const session of [exec, attach]) {
    expect(await session.status()).toMatchObject({ status: 'Failure', reason: 'InternalError' });
  }
  expect(await sync).toMatchObject({ grpcStatus: 'UNAVAILABLE' });
});
