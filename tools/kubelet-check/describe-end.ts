import type { AppExit, AppProcess } from '@stowage/testing';

/** How many of its last lines are shown of a process that did not end well. */
const shown = 3;

/**
 * How an instance of a service has ended: `0`, or its exit code or signal and its last complaints.
 * Without an exit it runs on, and its last lines say what it is about.
 */
export function describeEnd(
  instance: string,
  exit: AppExit | undefined,
  app: Pick<AppProcess, 'logLines' | 'stderr'>,
): string {
  if (exit?.code === 0) return '0';
  const lines = app.logLines();
  const told =
    exit === undefined ? lines : lines.filter(({ level }) => complaining.test(String(level)));
  const how = exit === undefined ? 'still runs' : String(exit.code ?? exit.signal);
  // Why a start has failed stands there.
  const errors = app.stderr.trim().split('\n').slice(-shown);
  return [
    `${instance}: ${how}`,
    ...told.slice(-shown).map((line) => JSON.stringify(line)),
    ...errors.filter((line) => line !== ''),
  ].join('\n');
}

const complaining = /^(warn|error|fatal)$/;
