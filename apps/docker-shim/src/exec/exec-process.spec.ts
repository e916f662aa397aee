import { eventually } from '@stowage/testing';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { InspectedExec, NewExec } from '../engine/engine-client';
import { EngineResponseError, EngineUnreachableError } from '../engine/engine-errors';
import { ExecProcess, type ExecClient } from './exec-process';
import { KeptOutput } from './split-stream';

const call = { signal: new AbortController().signal };
const command = { command: ['app', 'arg'], tty: false, stdin: false, stdout: true, stderr: true };

describe('ExecProcess', () => {
  let folder: string;
  let engine: Server;
  /** What the engine sends on the stream of an exec before it ends it. */
  let output: Buffer;
  /** What it says of the exec, one after another; the last again and again. */
  let inspected: (InspectedExec | Error)[];
  let created: NewExec | undefined;
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'exec-process-'));
    engine = createServer((socket) => socket.end(output));
    await new Promise<void>((resolve) => engine.listen(path.join(folder, 'engine'), resolve));
  });
  beforeEach(() => {
    output = Buffer.alloc(0);
  });
  afterAll(() => {
    engine.close();
    rmSync(folder, { recursive: true });
  });
  const client: ExecClient = {
    createExec: (_id, exec) => {
      created = exec;
      return Promise.resolve('exec-1');
    },
    startExec: () =>
      new Promise<Socket>((resolve) => {
        const socket = connect(path.join(folder, 'engine'));
        socket.once('connect', () => resolve(socket));
      }),
    inspectExec: () => {
      const [next] = inspected.length > 1 ? inspected.splice(0, 1) : inspected;
      return next instanceof Error ? Promise.reject(next) : Promise.resolve(next ?? {});
    },
    resizeExec: () => Promise.resolve(),
  };
  const start = async () => {
    const exec = await ExecProcess.create(client, 'c1', command, call);
    await exec.start(call);
    return exec;
  };
  const frame = (text: string) =>
    Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);

  it('asks for keys that nobody types, which are ASCII', async () => {
    inspected = [{}];
    await ExecProcess.create(client, 'c1', command, call);
    expect(created).toMatchObject({ Cmd: ['app', 'arg'], Tty: false, AttachStdin: false });
    expect(created?.DetachKeys).toMatch(/^(ctrl-\^,){31}ctrl-\^$/);
  });

  it('waits until the engine has started it, and until it has seen the end', async () => {
    output = frame('hello');
    inspected = [
      { Running: false, ExitCode: null, Pid: 0 },
      { Running: true, ExitCode: null, Pid: 0 },
      { Running: true, ExitCode: null, Pid: 77 },
      { Running: true, ExitCode: null, Pid: 77 },
      { Running: false, ExitCode: 7, Pid: 77 },
    ];
    const exec = await start();
    await exec.begun(call);
    const kept = new KeptOutput(100);
    await exec.readOutput({ stdout: kept.sink, stderr: kept.sink });
    expect(kept.content().toString()).toBe('hello');
    expect(await exec.exitCode(call)).toBe(7);
  });

  it('takes output of a command that could not be started as the reason', async () => {
    output = frame('OCI runtime exec failed: no such file\r\n');
    inspected = [{ Running: false, ExitCode: 126, Pid: 0 }];
    const exec = await start();
    await expect(exec.begun(call)).rejects.toMatchObject({
      grpcStatus: 'UNKNOWN',
      message: 'OCI runtime exec failed: no such file',
    });
    output = Buffer.alloc(0);
    await expect((await start()).begun(call)).rejects.toThrow('the command could not be started');
  });

  it.each([
    [
      'it still runs',
      { Running: true, ExitCode: null },
      "Docker Engine's answer to inspect exec has no exit code",
    ],
    [
      'there is no code',
      { Running: false, ExitCode: null },
      "Docker Engine's answer to inspect exec has no exit code",
    ],
    [
      'the engine is gone',
      new EngineUnreachableError('inspect exec', 'unix:///d', 'reset'),
      'is not reachable',
    ],
    [
      'the engine has forgotten it',
      new EngineResponseError('inspect exec', 404, 'no such exec'),
      'container c1 has ended, and how the command ended is not known',
    ],
  ])('invents no exit code when the output has ended and %s', async (_what, answer, message) => {
    inspected = [answer];
    const exec = await start();
    await expect(exec.exitCode(call, 50)).rejects.toThrow(message);
  });

  it('makes a refusal of the engine one of the state of the container', async () => {
    const refusing = {
      ...client,
      createExec: () =>
        Promise.reject(new EngineResponseError('create exec', 409, 'container c1 is paused')),
    };
    await expect(ExecProcess.create(refusing, 'c1', command, call)).rejects.toMatchObject({
      grpcStatus: 'FAILED_PRECONDITION',
      message: 'container c1 is paused',
    });
  });

  it('runs for as long as the engine does not say otherwise', async () => {
    const exec = await start();
    for (const [answer, isRunning] of [
      [{ Running: true }, true],
      [new EngineUnreachableError('inspect exec', 'unix:///d', 'reset'), true],
      [{ Running: false, ExitCode: 0 }, false],
      [new EngineResponseError('inspect exec', 404, 'no such exec'), false],
    ] as const) {
      inspected = [answer];
      expect(await exec.isRunning()).toBe(isRunning);
    }
  });

  it('has nothing to kill before it was started', async () => {
    const exec = await ExecProcess.create(client, 'c1', command, call);
    expect(await exec.kill()).toBeUndefined();
  });

  it('reads no more when the engine has forgotten it, though the stream stays open', async () => {
    let stream: Socket | undefined;
    engine.removeAllListeners('connection');
    engine.on('connection', (socket) => {
      stream = socket;
      socket.write(frame('hello'));
    });
    inspected = [
      { Running: true, ExitCode: null, Pid: 77 },
      new EngineResponseError('inspect exec', 404, 'no such exec'),
    ];
    const exec = await start();
    await exec.begun(call);
    const kept = new KeptOutput(100);
    await expect(exec.readOutput({ stdout: kept.sink, stderr: kept.sink })).rejects.toMatchObject({
      grpcStatus: 'FAILED_PRECONDITION',
      message: 'container c1 has ended, and how the command ended is not known',
    });
    expect(kept.content().toString()).toBe('hello');
    exec.close();
    stream?.destroy();
    engine.removeAllListeners('connection');
    engine.on('connection', (socket) => socket.end(output));
  });

  it('ends its connection when it is left', async () => {
    let ended = 0;
    engine.once('connection', (socket) => socket.once('close', () => (ended += 1)));
    (await start()).close();
    await eventually(() => ended === 1);
  });
});
