import { setFlagsFromString } from 'node:v8';
import type { ConfigDefinition, ConfigKeys } from './config/define-config';
import { printLine } from './print-line';
import { serviceVersion } from './version';

/** Options of {@link startService}. */
export interface StartServiceOptions<K extends ConfigKeys> {
  readonly app: string;
  /** Imports the definition of the configuration. */
  readonly config: () => Promise<ConfigDefinition<K>>;
  /** Imports and runs the service, which reads the command line again. */
  readonly run: () => Promise<void>;
}

/** What is answered from the configuration alone. */
const questions = ['--help', '-h', '--version', '--check-config'];

/**
 * The beginning of a program: answers questions at once, and only loads the service to run it.
 * `main.ts` imports nothing but this, and a build puts the service into files of its own.
 */
export async function startService<K extends ConfigKeys>({
  app,
  config,
  run,
}: StartServiceOptions<K>): Promise<void> {
  // The young generation stays as small as it starts: it would grow to 16 MiB and more under load,
  // for no gain that the benches show. docs/adr/0012 has the figures.
  setFlagsFromString('--semi-space-growth-factor=1');
  const { env } = process;
  const argv = process.argv.slice(2);
  const version = serviceVersion();
  if (argv.length === 1 && argv[0] === '--version') {
    printLine('stdout', `${app} ${version}`, 0);
    return;
  }
  if (argv.some((arg) => questions.includes(arg))) {
    const { loadConfig } = await import('./config/load-config');
    const outcome = await loadConfig(await config(), { argv, env, version });
    if (outcome.action === 'exit') {
      printLine(outcome.stream, outcome.output, outcome.code);
      return;
    }
  }
  await run();
}
