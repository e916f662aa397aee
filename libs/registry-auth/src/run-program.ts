import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { errorCode } from './file-signature';

/** Most a helper or plugin may print; more ends it. */
const maxOutputBytes = 1 << 20;

/** Most of a program's own words that an error repeats. */
const maxShownChars = 300;

/** A program that could not be run to its end, or that ended with a failure. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';

  constructor(
    message: string,
    /** What it had printed on standard output. May hold secrets. */
    readonly stdout = '',
  ) {
    super(message);
  }
}

export interface ProgramRun {
  /** Name in PATH, or a path. */
  readonly program: string;
  readonly args: readonly string[];
  /** Written to standard input. */
  readonly input: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Taken out of error texts. */
  readonly secrets?: readonly string[];
}

/**
 * Runs a program and gives its standard output. Throws ProgramError when it cannot be started, ends with another code than 0, is ended
 * by a signal, takes longer than the time limit, or prints more than 1 MiB; the abort reason when the signal ended it. The message holds
 * what the program wrote to standard error. The program is gone when this returns.
 */
export async function runProgram(run: ProgramRun): Promise<string> {
  run.signal.throwIfAborted();
  const child = await start(run);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let bytes = 0;
  let failure: string | undefined;
  const end = (reason: string): void => {
    failure ??= reason;
    child.kill('SIGKILL');
    // What it started may still hold the pipes; nobody reads them any more.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const collect = (chunks: Buffer[]) => (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxOutputBytes) end(`printed more than ${maxOutputBytes} bytes`);
    else chunks.push(chunk);
  };
  child.stdout.on('data', collect(stdout));
  child.stderr.on('data', collect(stderr));
  // A program may end without having read its input.
  child.stdin.on('error', () => undefined);
  const onAbort = (): void => end('was cancelled');
  run.signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => end(`took longer than ${run.timeoutMs} ms`), run.timeoutMs);
  try {
    const ended = new Promise<string | undefined>((resolve) => {
      child.once('close', (code, signal) =>
        resolve(
          code === 0 ? undefined : code == null ? `signal: ${signal}` : `exit status ${code}`,
        ),
      );
    });
    child.stdin.end(run.input);
    const ending = await ended;
    failure ??= ending;
  } finally {
    clearTimeout(timer);
    run.signal.removeEventListener('abort', onAbort);
  }
  run.signal.throwIfAborted();
  const output = Buffer.concat(stdout).toString('utf8');
  if (failure == null) return output;
  const said = shown(Buffer.concat(stderr).toString('utf8'), run.secrets ?? []);
  throw new ProgramError(said === '' ? failure : `${failure}: ${said}`, output);
}

async function start(run: ProgramRun): Promise<ChildProcessWithoutNullStreams> {
  try {
    const child = spawn(run.program, run.args, { env: { ...process.env, ...run.env } });
    // Without a process there may be no pipes either, and the reason comes as an event.
    if (child.pid == null) throw ((await once(child, 'error')) as [Error])[0];
    return child;
  } catch (error) {
    throw new ProgramError(`cannot be started: ${errorCode(error)}`);
  }
}

/** One line, cut, without the secrets. */
function shown(text: string, secrets: readonly string[]): string {
  let line = text;
  for (const secret of secrets) if (secret !== '') line = line.replaceAll(secret, '[redacted]');
  line = line.trim().replace(/\s+/g, ' ');
  return line.length > maxShownChars ? `${line.slice(0, maxShownChars)}…` : line;
}
