import { pause } from '@stowage/async';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';

/** Most that a plugin may print; more ends it. */
const maxStdoutBytes = 1 << 20;
/** Most of its standard error that is kept. */
const maxStderrBytes = 4096;
/** A program that is being written cannot be started: how often and how long that is waited for. */
const busyRetries = 5;
const busyPauseMs = 1000;
/** How long what a plugin has started may hold its output open after it has ended, milliseconds. */
const outputWaitMs = 1000;
/** Longest wait for a plugin that was killed: one that hangs in the kernel does not go. */
const killWaitMs = 5000;

/** How a plugin ended. */
export interface PluginExit {
  /** Exit code; undefined when a signal ended it. */
  readonly code?: number;
  readonly stdout: string;
  /** The first 4 KiB. */
  readonly stderr: string;
}

export interface PluginRun {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Written to its standard input. */
  readonly input: string;
  readonly signal: AbortSignal;
}

/**
 * Runs the program of a plugin to its end. When the signal ends it, all that it has started ends
 * with it, unless that left its process group.
 *
 * @throws the reason of the signal; the system's error when it cannot be started.
 */
export async function runPlugin(file: string, run: PluginRun): Promise<PluginExit> {
  for (let retries = 0; ; retries++) {
    run.signal.throwIfAborted();
    try {
      return await runOnce(file, run);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ETXTBSY' || retries === busyRetries) throw error;
    }
    await pause(busyPauseMs, run);
  }
}

async function runOnce(file: string, { env, input, signal }: PluginRun): Promise<PluginExit> {
  const child = spawn(file, [], { env, detached: true });
  if (child.pid === undefined) throw ((await once(child, 'error')) as [Error])[0];
  let abandon: () => void = () => undefined;
  const timers: NodeJS.Timeout[] = [];
  const after = (ms: number, act: () => void) => timers.push(setTimeout(act, ms));
  const closeOutput = () => {
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const kill = () => {
    killGroup(child);
    closeOutput();
    after(killWaitMs, () => abandon());
  };
  const ended = new Promise<number | undefined>((resolve) => {
    abandon = () => resolve(undefined);
    child.once('close', (code) => resolve(code ?? undefined));
  });
  child.once('exit', () => after(outputWaitMs, closeOutput));
  const stdout = collected(child.stdout, maxStdoutBytes, kill);
  const stderr = collected(child.stderr, maxStderrBytes);
  // A plugin may end without having read its input.
  child.stdin.on('error', () => undefined);
  signal.addEventListener('abort', kill, { once: true });
  child.stdin.end(input);
  const code = await ended;
  timers.forEach(clearTimeout);
  signal.removeEventListener('abort', kill);
  signal.throwIfAborted();
  return { code, stdout: stdout(), stderr: stderr() };
}

/** Keeps so many bytes of a stream, and reads the rest away. */
function collected(
  stream: NodeJS.ReadableStream,
  maxBytes: number,
  onMore?: () => void,
): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('error', () => undefined);
  stream.on('data', (chunk: Buffer) => {
    const kept = chunk.subarray(0, maxBytes - bytes);
    bytes += kept.length;
    if (kept.length > 0) chunks.push(kept);
    if (kept.length < chunk.length) onMore?.();
  });
  return () => Buffer.concat(chunks).toString();
}

/** Plugins start other programs, which would go on without them. */
function killGroup(child: ChildProcessWithoutNullStreams): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}
