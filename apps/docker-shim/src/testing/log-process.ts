// A process that copies logs, to be killed: `log-process STATE_DIR`. Reads one call as a JSON array
// from each line, `["follow", {…}]`, and prints a line of JSON for each when it has ended.
import { createInterface } from 'node:readline';
import { ContainerLogs } from '../log/container-logs';

const quiet = (): void => undefined;
const logs = new ContainerLogs({
  mode: 'copy',
  maxSizeBytes: 1024 * 1024,
  maxFile: 3,
  stateDir: process.argv[2] ?? '',
  log: { info: quiet, warn: (fields, message) => process.stderr.write(`${message}\n`) },
  listener: {
    copied: ({ gaps }) => {
      if (gaps > 0) process.stderr.write(`gaps: ${gaps}\n`);
    },
    reopened: quiet,
    threadFailed: quiet,
  },
});

createInterface({ input: process.stdin }).on('line', (line) => {
  const [method, ...args] = JSON.parse(line) as ['follow', unknown];
  const call = logs[method].bind(logs) as (...args: unknown[]) => Promise<void>;
  void call(...args).then(
    () => process.stdout.write('{}\n'),
    (error: unknown) => process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`),
  );
});
