import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { errorCode } from './file-signature';
import { findProgram, formatProblem } from './program-format';
import { minSecretLength, redactOutput, secretsOfAnswer } from './redact';

/** Most a helper or plugin may print; more ends it. */
const maxOutputBytes = 1 << 20;

/** Most of a program's own words that an error repeats. */
const maxShownChars = 300;

/** Most of them that is looked at for secrets; far more than is shown. */
const maxRead = 65_536;

/** Names of variables whose values are secrets. */
const secretNames = /key|token|secret|passw|credential/i;

/**
 * Longest wait for a program that was killed, milliseconds: one that hangs in the kernel does not
 * go.
 */
const killWaitMs = 5000;

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
  /** Taken out of error texts, beside what looks like a secret. */
  readonly secrets?: readonly string[];
}

/**
 * Runs a program, and nothing in its place, and gives its standard output. Throws ProgramError when
 * it cannot be started, ends with another code than 0, is ended by a signal, takes longer than the
 * time limit, or prints more than 1 MiB; the abort reason when the signal ended it. The message
 * holds what the program wrote to standard error, without secrets. The program is gone when this
 * returns, and with a failure so is all it started, unless that left its process group. All of it
 * goes too when this process ends before, however that happens.
 */
export async function runProgram(run: ProgramRun): Promise<string> {
  run.signal.throwIfAborted();
  const program = runnable(run.program);
  const guard = startGuard();
  const child = await start({ ...run, program }, guard).catch((error: unknown) => {
    guard.end();
    throw error;
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let bytes = 0;
  let failure: string | undefined;
  let giveUp: () => void;
  const end = (reason: string): void => {
    failure ??= reason;
    killGroup(child);
    // What it started may still hold the pipes; nobody reads them any more.
    child.stdout.destroy();
    child.stderr.destroy();
    setTimeout(giveUp, killWaitMs).unref();
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
      giveUp = () => resolve(undefined);
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
    guard.end();
    clearTimeout(timer);
    run.signal.removeEventListener('abort', onAbort);
  }
  run.signal.throwIfAborted();
  const output = Buffer.concat(stdout).toString('utf8');
  if (failure == null) return output;
  const secrets = [
    ...(run.secrets ?? []),
    ...Object.entries({ ...process.env, ...run.env }).flatMap(([name, value = '']) =>
      secretNames.test(name) && value.length >= minSecretLength ? [value] : [],
    ),
    ...secretsOfAnswer(output),
  ];
  const said = shown(Buffer.concat(stderr).toString('utf8'), secrets);
  throw new ProgramError(said === '' ? failure : `${failure}: ${said}`, output);
}

/** Path of the program. Throws ProgramError for what only a shell would run. */
function runnable(name: string): string {
  const program = findProgram(name);
  if (program === undefined) throw new ProgramError('cannot be started: ENOENT');
  const problem = formatProblem(program);
  if (problem !== undefined) throw new ProgramError(`cannot be started: ${problem}`);
  return program;
}

async function start(run: ProgramRun, guard: Guard): Promise<ChildProcessWithoutNullStreams> {
  try {
    const child = spawn(run.program, run.args, {
      env: { ...process.env, ...run.env },
      detached: true, // a process group of its own, so that all of it can be ended
    });
    // Without a process there may be no pipes either, and the reason comes as an event.
    if (child.pid == null) throw ((await once(child, 'error')) as [Error])[0];
    guard.watch(child.pid);
    return child;
  } catch (error) {
    throw new ProgramError(`cannot be started: ${startProblem(errorCode(error), run.program)}`);
  }
}

/** The kernel's error, with what it means where that is not plain. */
function startProblem(code: string, program: string): string {
  if (code === 'ENOENT' && existsSync(program)) {
    return `${code}: the file is there, the loader of programs that it names is not`;
  }
  if (code === 'EACCES') {
    return `${code}: not executable for this user, or on a file system mounted with noexec`;
  }
  return code === 'ETXTBSY' ? `${code}: somebody is writing it` : code;
}

/** Scripts start other programs, which would go on without them. */
function killGroup(child: ChildProcessWithoutNullStreams): void {
  try {
    if (child.pid != null) process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

/** Outlives this process, to end what it leaves behind. */
interface Guard {
  /** Process group to end. */
  watch(group: number): void;
  end(): void;
}

/**
 * Ends the group of a program when this process goes before it, also by SIGKILL: a shell that waits
 * for the end of its input. It is started before the program, which then runs without a guard only
 * until it has been named. Where there is no shell, nothing does that.
 */
function startGuard(): Guard {
  const script = 'read -r group && { read -r end || kill -s KILL -- "-$group"; }';
  const guard: ChildProcess = spawn('/bin/sh', ['-c', script], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // the interrupt of a terminal is not for it
    env: {},
  });
  guard.on('error', () => undefined);
  guard.stdin?.on('error', () => undefined);
  return {
    watch: (group) => guard.stdin?.write(`${group}\n`),
    end: () => guard.kill('SIGKILL'),
  };
}

/** One line, cut, without the secrets. */
function shown(text: string, secrets: readonly string[]): string {
  const line = redactOutput(text.slice(0, maxRead), secrets)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
  return line.length > maxShownChars ? `${line.slice(0, maxShownChars)}…` : line;
}
