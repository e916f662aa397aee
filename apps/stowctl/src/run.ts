import { completionWord, commands } from './commands/table';
import { candidates } from './command-line/completion';
import { commandHelp, programHelp } from './command-line/help';
import { parseLine } from './command-line/parse';
import { failureText } from './failure-text';
import { exitCodes, UsageError } from './failures';
import { Output, type OutputFormat } from './output/output';
import type { OpenReach, Reach } from './transport/reach';
import { version } from './version';

/** Longest time for the end after an interruption, milliseconds. */
const stopMs = 2000;

/** Runs one command line to its end, and sets the exit code of the process. */
export async function run(argv: readonly string[]): Promise<void> {
  const { stdout, stderr, env } = process;
  // Whoever read the output has enough: `stowctl events | head`.
  for (const stream of [stdout, stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? exitCodes.done : exitCodes.failed);
    });
  }
  if (argv[0] === completionWord) {
    stdout.write(`${candidates(argv.slice(1), commands).join('\n')}\n`);
    return;
  }
  const stop = new AbortController();
  const interrupted = () => {
    // The second one ends the process at once.
    process.once('SIGINT', () => process.exit(130));
    process.exitCode = 130;
    // What does not end by itself does not keep whoever pressed the key.
    setTimeout(() => process.exit(130), stopMs).unref();
    stop.abort(new Error('interrupted'));
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  const plain = new Output({ format: 'table', stdout, stderr, colors: false });
  const reaches: Reach[] = [];
  try {
    if (argv.includes('--version')) {
      plain.text(`stowctl ${version()}`);
      return;
    }
    const { command, args, flags } = parseLine(argv, commands);
    if (command === undefined || flags.has('help')) {
      plain.text(command === undefined ? programHelp(commands) : commandHelp(command));
      if (command === undefined && argv.length === 0) process.exitCode = exitCodes.usage;
      return;
    }
    const colors = !flags.has('no-color') && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
    const format = (flags.text('output') ?? 'table') as OutputFormat;
    const out = new Output({ format, stdout, stderr, colors });
    const open: OpenReach = async (options) => {
      const { openReach } = await import('./transport/open-reach');
      const reach = await openReach(flags, env, stop.signal, options);
      reaches.push(reach);
      return reach;
    };
    const handler = await command.load();
    const code = await handler({ args, flags, out, signal: stop.signal, env, open });
    process.exitCode ??= code ?? exitCodes.done;
  } catch (error) {
    if (stop.signal.aborted) return;
    const { message, remedy } = failureText(error);
    plain.problem(message, remedy);
    process.exitCode = error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
  } finally {
    for (const { transport } of reaches) await transport.close();
    process.removeListener('SIGINT', interrupted);
    process.removeListener('SIGTERM', interrupted);
  }
}
