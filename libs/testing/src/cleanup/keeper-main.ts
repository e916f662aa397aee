// The keeper: a process beside the tests that removes their stacks when the tests end without doing
// so. Its standard input is a pipe from the process that owns the stacks and ends with it, however
// it ends.
import { sweepOwner } from './sweep';

const [token] = process.argv.slice(2);
if (token === undefined) throw new Error('usage: keeper-main.ts OWNER_TOKEN');

// A signal to the terminal's whole process group must not stop the clean-up.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

process.stdin.on('end', () => {
  sweepOwner(token).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(
        `stowage testing: ${error instanceof Error ? error.message : String(error)}\n`,
      );
      process.exit(1);
    },
  );
});
process.stdin.on('error', () => process.stdin.emit('end'));
process.stdin.resume();
