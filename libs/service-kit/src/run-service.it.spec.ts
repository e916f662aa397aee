import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { askLocalService } from '@stowage/commands/local';
import { eventually, freePort, startTraceCollector, type TraceCollector } from '@stowage/testing';

const workspace = path.resolve(__dirname, '../../..');
const program = path.join(workspace, 'libs/service-kit/testdata/tiny-app.ts');

interface Line {
  level: string;
  msg: string;
  address?: string;
  [key: string]: unknown;
}

/** The tiny app as a process of its own. */
class App {
  stdout = '';
  stderr = '';
  readonly #child;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;

  constructor(args: string[] = [], env: Record<string, string> = {}, by: string[] = []) {
    const command = [...by, process.execPath, '--import', 'tsx', program, ...args];
    this.#child = spawn(command[0] ?? '', command.slice(1), {
      cwd: workspace,
      env: {
        PATH: process.env.PATH,
        TSX_TSCONFIG_PATH: path.join(workspace, 'tsconfig.json'),
        STOWAGE_NODE_NAME: 'node-1',
        STOWAGE_COMMAND_SOCKET: '',
        ...env,
      },
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.exited = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  get lines(): Line[] {
    return this.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  }

  async line(msg: string): Promise<Line> {
    const end = Date.now() + 30_000;
    for (;;) {
      const found = this.lines.find((line) => line.msg === msg);
      if (found !== undefined) return found;
      if (Date.now() > end || this.#child.exitCode != null) {
        throw new Error(`no line ${msg} in\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async url(page: string): Promise<string> {
    const { address } = await this.line('serving metrics and health');
    return `http://${String(address)}${page}`;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

/** What an HTTP server on a unix socket answers, as JSON. */
function fetchOn(socketPath: string, options: http.RequestOptions, body: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, agent: false, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(JSON.parse(text)));
    });
    request.on('error', reject).end(body);
  });
}

const apps: App[] = [];
function start(args: string[] = [], env: Record<string, string> = {}, by: string[] = []): App {
  const app = new App(args, env, by);
  apps.push(app);
  return app;
}

afterAll(async () => {
  for (const app of apps) app.kill('SIGKILL');
  await Promise.all(apps.map((app) => app.exited));
});

describe('an app that only prints', () => {
  it.each([
    ['--version', [], {}, 0, /^tiny-app 0\.0\.0-dev\n$/, /^$/],
    ['--help', [], {}, 0, /^tiny-app: Answers with what it was told\.\n[^]*STOWAGE_LIMIT/, /^$/],
    ['--check-config', [], {}, 0, /^# tiny-app 0\.0\.0-dev: the configuration is right\n/, /^$/],
    [
      '--check-config',
      [],
      { STOWAGE_LIMIT: '12' },
      78,
      /^$/,
      /^tiny-app: configuration: STOWAGE_LIMIT \(environment\) is 12; allowed: a whole number from 1 to 9\n$/,
    ],
    [
      '--config',
      ['/nowhere.yaml'],
      {},
      78,
      /^$/,
      /^tiny-app: configuration: \/nowhere\.yaml cannot be read: no such file\n$/,
    ],
    ['--fast', [], {}, 64, /^$/, /^tiny-app: unknown flag "--fast"; allowed: [^\n]*\n$/],
  ])('answers %s %j %j with exit code %d', async (flag, rest, env, code, stdout, stderr) => {
    const app = start([flag, ...rest], env);
    expect(await app.exited).toEqual({ code, signal: null });
    expect(app.stdout).toMatch(stdout);
    expect(app.stderr).toMatch(stderr);
  });
});

describe('an app that runs', () => {
  it('serves health and metrics, keeps secrets out of the log, and stops on SIGTERM with 0', async () => {
    const app = start([], { STOWAGE_TOKEN: 'hunter2' });
    await app.line('ready');
    expect(await (await fetch(await app.url('/readyz'))).json()).toEqual({
      status: 'ok',
      components: {},
    });
    expect((await fetch(await app.url('/healthz'))).status).toBe(200);
    expect((await fetch(await app.url('/other'))).status).toBe(404);
    const metrics = await (await fetch(await app.url('/metrics'))).text();
    expect(metrics).toContain(
      `stowage_build_info{app="tiny-app",version="0.0.0-dev",node_version="${process.version}"} 1`,
    );
    expect(metrics).toContain('process_resident_memory_bytes');
    app.kill('SIGTERM');
    expect(await app.exited).toEqual({ code: 0, signal: null });
    expect(await app.line('hook ran')).toMatchObject({ aborted: true });
    expect(app.lines.at(-1)).toMatchObject({ msg: 'stopped', app: 'tiny-app', node: 'node-1' });
    expect(app.stdout + app.stderr).not.toContain('hunter2');
  });

  it('says in /readyz what is missing since when, with 503', async () => {
    const app = start([], { STOWAGE_BEHAVIOUR: 'down' });
    await app.line('ready');
    const reply = await fetch(await app.url('/readyz'));
    expect(reply.status).toBe(503);
    expect(((await reply.json()) as { message: string }).message).toMatch(
      /^runtime down since \d{4}-\S+Z: connect ENOENT \/run\/c\.sock$/,
    );
    expect(await (await fetch(await app.url('/metrics'))).text()).toContain(
      'stowage_health_component_state{component="runtime",state="down"} 1',
    );
    app.kill('SIGINT');
    expect(await app.exited).toEqual({ code: 0, signal: null });
  });

  it('needs no NATS to start, and answers commands only for verbs that exist', async () => {
    const app = start([], { STOWAGE_COMMANDS: 'fly' });
    expect(await app.exited).toEqual({ code: 78, signal: null });
    expect(app.stderr).toBe(
      'tiny-app: configuration: STOWAGE_COMMANDS (environment) is "fly"; allowed: a list of echo, erase; empty answers none\n',
    );
  });

  it('leaves at once on a second signal', async () => {
    const app = start([], { STOWAGE_BEHAVIOUR: 'hang' });
    await app.line('ready');
    app.kill('SIGTERM');
    await app.line('hook ran');
    app.kill('SIGTERM');
    expect(await app.exited).toEqual({ code: 143, signal: null });
  });

  it('gives up a stop that takes longer than stopTimeout, with 1', async () => {
    const app = start([], { STOWAGE_BEHAVIOUR: 'hang', STOWAGE_STOP_TIMEOUT: '1s' });
    await app.line('ready');
    app.kill('SIGTERM');
    expect(await app.exited).toEqual({ code: 1, signal: null });
    expect(app.lines.at(-1)).toMatchObject({
      level: 'error',
      msg: 'stop took too long: leaving',
      timeoutMs: 1000,
    });
  });

  it('says what failed at the stop, with 1', async () => {
    const app = start([], { STOWAGE_BEHAVIOUR: 'stop-fault' });
    await app.line('ready');
    app.kill('SIGTERM');
    expect(await app.exited).toEqual({ code: 1, signal: null });
    expect(await app.line('stop failed: socket still in use')).toMatchObject({ level: 'error' });
    // The rest ends all the same.
    expect(app.lines.at(-1)).toMatchObject({ msg: 'close', part: 'base' });
  });

  describe('of parts that providers made', () => {
    /** What was done with the parts, in order. */
    const done = (app: App) =>
      app.lines
        .filter(({ part }) => part !== undefined)
        .map(({ msg, part }) => `${String(part)}: ${msg}`);

    it('lets calls end at once, and then ends them, the last one first', async () => {
      const app = start([], { STOWAGE_STOP_TIMEOUT: '9s' });
      await app.line('ready');
      app.kill('SIGTERM');
      expect(await app.exited).toEqual({ code: 0, signal: null });
      expect(await app.line('calls end')).toMatchObject({ drainMs: 4500 });
      expect(done(app).filter((line) => !line.endsWith('calls end'))).toEqual([
        'door: close',
        'base: close',
      ]);
      const messages = app.lines.map(({ msg }) => msg);
      expect(messages.indexOf('calls end')).toBeLessThan(messages.indexOf('hook ran'));
      expect(messages.indexOf('hook ran')).toBeLessThan(messages.indexOf('close'));
    });

    it('ends the others where one fails, and exits with 1', async () => {
      const app = start([], { STOWAGE_BEHAVIOUR: 'door fails' });
      await app.line('ready');
      app.kill('SIGTERM');
      expect(await app.exited).toEqual({ code: 1, signal: null });
      expect(done(app).slice(-3)).toEqual([
        'door: close',
        'door: stop failed: no way',
        'base: close',
      ]);
      expect(done(app)).toContain('door: ending its calls failed: no way');
    });

    it('names the one that does not end', async () => {
      const app = start([], { STOWAGE_BEHAVIOUR: 'base hangs', STOWAGE_STOP_TIMEOUT: '1s' });
      await app.line('ready');
      app.kill('SIGTERM');
      expect(await app.exited).toEqual({ code: 1, signal: null });
      expect(app.lines.at(-1)).toMatchObject({
        msg: 'stop took too long: leaving',
        parts: ['base'],
      });
      // Its calls did not end either, in the time that they have.
      expect(done(app)).not.toContain('door: close');
    });

    it('hands over first when another instance has taken over, with the time of take-over for calls', async () => {
      const app = start([], { STOWAGE_BEHAVIOUR: 'lost', STOWAGE_TAKE_OVER_DRAIN: '7s' });
      await app.line('ready');
      expect(await app.exited).toEqual({ code: 0, signal: null });
      expect(await app.line('calls end')).toMatchObject({ drainMs: 7000 });
      expect(done(app).filter((line) => !line.endsWith('calls end'))).toEqual([
        'door: hand-over',
        'base: hand-over',
        'door: close',
        'base: close',
      ]);
    });

    it('hands over what there is when another instance takes over during the start, which is no error', async () => {
      const app = start([], { STOWAGE_BEHAVIOUR: 'lost before door' });
      expect(await app.exited).toEqual({ code: 0, signal: null });
      expect(done(app)).toContain('base: hand-over');
      expect(app.lines.filter(({ level }) => level !== 'info')).toEqual([]);
      expect(app.stderr).toBe('');
    });
  });

  it('ends with 1 and one line when it cannot start', async () => {
    const app = start([], { STOWAGE_BEHAVIOUR: 'start-fault' });
    expect(await app.exited).toEqual({ code: 1, signal: null });
    expect(app.stderr).toBe('tiny-app: start failed: cannot listen on /run/x.sock: in use\n');
  });

  it('ends with 1 and one line when the address is taken', async () => {
    const first = start();
    const { address } = await first.line('serving metrics and health');
    const second = start([], { STOWAGE_HTTP_ADDR: String(address) });
    expect(await second.exited).toEqual({ code: 1, signal: null });
    expect(second.stderr).toBe(
      `tiny-app: start failed: cannot listen on ${String(address)}: listen EADDRINUSE: address already in use ${String(address)}\n`,
    );
  });

  it('gets an address whose owner gives it up while it is asked who it is', async () => {
    const owner = http.createServer((request) => {
      owner.close();
      request.socket.destroy();
    });
    await new Promise<void>((resolve) => owner.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(owner.address() as AddressInfo).port}`;
    const app = start([], { STOWAGE_HTTP_ADDR: address, STOWAGE_TAKE_OVER: 'true' });
    expect(await app.line('serving metrics and health')).toMatchObject({ address });
    await app.line('ready');
    app.kill('SIGTERM');
    expect(await app.exited).toEqual({ code: 0, signal: null });
  });

  it('logs an unhandled rejection and ends with 1', async () => {
    const app = start([], { STOWAGE_BEHAVIOUR: 'rejection' });
    expect(await app.exited).toEqual({ code: 1, signal: null });
    expect(app.lines.at(-1)).toMatchObject({
      level: 'fatal',
      msg: 'unhandled rejection: nobody waits',
    });
  });

  describe('with a collector of traces', () => {
    let collector: TraceCollector;
    beforeEach(async () => (collector = await startTraceCollector()));
    afterEach(() => collector.close());
    const traced = (env: Record<string, string> = {}) =>
      start([], {
        STOWAGE_BEHAVIOUR: 'spans 3',
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
        OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer hunter2,x-tenant=shop',
        ...env,
      });
    const stopped = async (app: App) => {
      await app.line('ready');
      app.kill('SIGTERM');
      expect(await app.exited).toEqual({ code: 0, signal: null });
      expect(app.lines.at(-1)).toMatchObject({ msg: 'stopped' });
      expect(app.stdout + app.stderr).not.toContain('hunter2');
    };
    const spansMetric = async (app: App, result: string) =>
      (await (await fetch(await app.url('/metrics'))).text())
        .split('\n')
        .find((line) => line.startsWith(`stowage_trace_spans_total{result="${result}"}`))
        ?.split(' ')[1];

    it('hands it the spans that wait at the stop, with what the environment says', async () => {
      const app = traced({ OTEL_RESOURCE_ATTRIBUTES: 'zone=a' });
      expect(await app.line('sending spans')).toMatchObject({ endpoint: collector.endpoint });
      await stopped(app);
      expect(collector.spans.map(({ name }) => name).sort()).toEqual([
        'work 0',
        'work 1',
        'work 2',
      ]);
      expect(collector.spans[0]).toMatchObject({
        kind: 'internal',
        resource: {
          'service.name': 'tiny-app',
          'service.namespace': 'stowage',
          'service.version': '0.0.0-dev',
          'service.instance.id': 'node-1',
          zone: 'a',
        },
      });
      expect(collector.requests[0]).toMatchObject({
        authorization: 'Bearer hunter2',
        'x-tenant': 'shop',
      });
    });

    it('sends in the meantime too, counts, and lets the environment name the service', async () => {
      const app = traced({ OTEL_BSP_SCHEDULE_DELAY: '50', OTEL_SERVICE_NAME: 'mine' });
      const span = await collector.waitFor('work 2');
      expect(span.resource['service.name']).toBe('mine');
      expect(await spansMetric(app, 'exported')).toBe('3');
      await stopped(app);
      expect(collector.spans).toHaveLength(3);
    });

    it('samples as the environment says', async () => {
      await stopped(traced({ OTEL_TRACES_SAMPLER: 'always_off' }));
      expect(collector.requests).toEqual([]);
    });

    it('drops what exceeds the queue, and counts it', async () => {
      const app = traced({
        STOWAGE_BEHAVIOUR: 'spans 20',
        OTEL_BSP_MAX_QUEUE_SIZE: '8',
        OTEL_BSP_SCHEDULE_DELAY: '60000',
        // Larger than the queue: nothing is sent before the stop.
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '8',
      });
      collector.answer = 'hang';
      await app.line('ready');
      // The first batch of eight is on its way, eight wait.
      expect(await spansMetric(app, 'dropped')).toBe('4');
      collector.answer = 200;
      await stopped(app);
    });

    it('tells once why it refuses them', async () => {
      collector.answer = 401;
      const app = traced({ OTEL_BSP_SCHEDULE_DELAY: '50' });
      expect(await app.line('spans do not reach the collector')).toMatchObject({
        level: 'warn',
        endpoint: collector.endpoint,
        reason: 'HTTP 401 Unauthorized',
      });
      expect(await spansMetric(app, 'failed')).toBe('3');
      await stopped(app);
      expect(app.lines.filter(({ msg }) => msg.startsWith('spans '))).toHaveLength(1);
    });

    it('does not wait for one that never answers', async () => {
      collector.answer = 'hang';
      const app = traced();
      await stopped(app);
      expect(await app.line('the last spans are lost: the collector was too slow')).toMatchObject({
        level: 'warn',
      });
    });

    it('does not mind one that is not there', async () => {
      await stopped(
        traced({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` }),
      );
      await stopped(traced({ OTEL_EXPORTER_OTLP_ENDPOINT: 'not a url' }));
    });
  });

  describe('on its command socket', () => {
    let folder: string;
    let socketPath: string;
    beforeEach(() => {
      folder = mkdtempSync(path.join(os.tmpdir(), 'stowage-tiny-'));
      socketPath = path.join(folder, 'cmd.sock');
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));
    const options = { timeoutMs: 10_000 };
    const info = () => askLocalService(socketPath, 'tiny-app', options);
    const post = (verb: string, body: string) =>
      fetchOn(socketPath, { method: 'POST', path: `/v1/${verb}` }, body);

    it('answers without NATS: commands, who it is, and how it is', async () => {
      const app = start([], { STOWAGE_COMMAND_SOCKET: socketPath, STOWAGE_BEHAVIOUR: 'down' });
      await app.line('ready');
      expect(await post('echo', '{"text":"hi"}')).toEqual({ ok: true, result: { text: 'hi' } });
      expect(await post('erase', '')).toEqual({ ok: true, result: null });
      expect(await info()).toMatchObject({
        app: 'tiny-app',
        node: 'node-1',
        health: {
          state: 'down',
          phase: 'running',
          components: [{ name: 'runtime', state: 'down', reason: 'connect ENOENT /run/c.sock' }],
        },
        verbs: [
          { verb: 'echo', answered: { nats: true, local: true } },
          { verb: 'erase', answered: { nats: false, local: true } },
        ],
      });
      expect(await (await fetch(await app.url('/metrics'))).text()).toContain(
        'stowage_commands_total{verb="erase",code="OK"} 1',
      );
      app.kill('SIGTERM');
      expect(await app.exited).toEqual({ code: 0, signal: null });
      await expect(info()).rejects.toMatchObject({ code: 'COMMAND_NO_RESPONDERS' });
    });

    it('answers another list once the configuration file has it, and at SIGHUP', async () => {
      const file = path.join(folder, 'config.yaml');
      const write = (text: string) => writeFileSync(file, `tiny-app: { ${text} }\n`);
      write('commands: [echo]');
      const env = { STOWAGE_COMMAND_SOCKET: socketPath, STOWAGE_LOCAL_COMMANDS: 'listed' };
      const app = start(['--config', file], env);
      await app.line('ready');
      const code = async () => {
        const { error } = (await post('erase', '')) as { error?: { code: string } };
        return error?.code;
      };
      const becomes = (wanted: string | undefined) =>
        eventually(async () => (await code()) === wanted);
      await becomes('PERMISSION_DENIED');
      write('commands: [echo, erase]');
      await becomes(undefined);
      expect(await app.line('other commands are answered on NATS from now on')).toMatchObject({
        cause: 'file',
        added: ['erase'],
      });
      expect((await info()).verbs).toContainEqual(
        expect.objectContaining({ verb: 'erase', answered: { nats: true, local: true } }),
      );

      write('commands: [ecco]');
      const component = async () => (await info()).health.components.at(-1);
      await eventually(async () => (await component())?.state === 'degraded');
      expect(await component()).toMatchObject({
        name: 'commands',
        reason: expect.stringMatching(/the list of commands stays: .*ecco/),
      });
      expect(await code()).toBeUndefined();
      write('commands: []');
      app.kill('SIGHUP');
      await becomes('PERMISSION_DENIED');
      expect(await component()).toMatchObject({ name: 'commands', state: 'ok' });
      app.kill('SIGTERM');
      expect(await app.exited).toEqual({ code: 0, signal: null });
    });

    it('does not end at a SIGHUP that comes before it is ready', async () => {
      const app = start([], { STOWAGE_BEHAVIOUR: 'hup' });
      await app.line('ready');
      app.kill('SIGTERM');
      expect(await app.exited).toEqual({ code: 0, signal: null });
    });

    it('keeps to the list where it is told to', async () => {
      const env = { STOWAGE_COMMAND_SOCKET: socketPath, STOWAGE_LOCAL_COMMANDS: 'listed' };
      const app = start([], env);
      await app.line('ready');
      expect(await post('erase', '')).toMatchObject({ error: { code: 'PERMISSION_DENIED' } });
    });

    it('does not start where another process answers, and replaces the socket of a dead one', async () => {
      const first = start([], { STOWAGE_COMMAND_SOCKET: socketPath });
      await first.line('ready');
      const second = start([], { STOWAGE_COMMAND_SOCKET: socketPath });
      expect(await second.exited).toEqual({ code: 1, signal: null });
      expect(second.stderr).toBe(
        `tiny-app: start failed: socket ${socketPath} is in use: another process answers on it\n`,
      );
      first.kill('SIGKILL');
      await first.exited;
      const third = start([], { STOWAGE_COMMAND_SOCKET: socketPath });
      await third.line('ready');
      expect(await post('erase', '')).toEqual({ ok: true, result: null });
    });

    it('gives it up to an instance that takes over', async () => {
      const env = { STOWAGE_COMMAND_SOCKET: socketPath, STOWAGE_TAKE_OVER: 'true' };
      const first = start([], env);
      await first.line('ready');
      const { pid } = await info();
      const second = start([], env);
      await second.line('ready');
      expect((await info()).pid).not.toBe(pid);
      first.kill('SIGTERM');
      await first.exited;
      expect((await info()).health.phase).toBe('running');
    });

    it('starts without it where only the default path cannot be had', async () => {
      const chosen = start([], { STOWAGE_COMMAND_SOCKET: '/proc/stowage/cmd.sock' });
      expect(await chosen.exited).toEqual({ code: 1, signal: null });
      expect(chosen.stderr).toMatch(/^tiny-app: start failed: cannot listen on \/proc\/stowage/);
      const readOnly = start([], { STOWAGE_COMMAND_SOCKET: '/run/stowage/tiny-app.cmd.sock' }, [
        'unshare',
        '-m',
        'sh',
        '-c',
        'mount -t tmpfs -o ro none /run && exec "$@"',
        'sh',
      ]);
      await readOnly.line('ready');
      const line = await readOnly.line('commands are not answered on a local socket');
      expect(line).toMatchObject({ level: 'warn', key: 'commandSocket' });
    });
  });

  it('serves on a unix socket too', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'stowage-tiny-'));
    try {
      const app = start([], { STOWAGE_HTTP_ADDR: `unix://${folder}/http.sock` });
      expect(await app.line('serving metrics and health')).toMatchObject({
        address: `unix://${folder}/http.sock`,
      });
      await app.line('ready');
      app.kill('SIGTERM');
      expect(await app.exited).toEqual({ code: 0, signal: null });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
