import { errorMessage } from '@stowage/errors';

/** What an error says, without line breaks. */
export const oneLine = (error: unknown): string =>
  errorMessage(error).replaceAll(/\s*[\r\n]+\s*/g, ' ');

/** Prints and ends the process once the text is out, also into a pipe. */
export function printLine(stream: 'stdout' | 'stderr', text: string, exitCode: number): void {
  process.exitCode = exitCode;
  process[stream].write(`${text}\n`, () => process.exit(exitCode));
}
