import type { DynamicModule, Type } from '@nestjs/common';
import type { ConfigDefinition, ConfigKeys, ConfigOf } from './config/define-config';
import { loadConfig } from './config/load-config';
import { oneLine, printLine } from './print-line';
import type { ServiceContext } from './service-context';
import { serviceVersion } from './version';

/** A class with `@Module`, or what is made of one for a configuration. */
export type AppModule = Type | DynamicModule;

/** Options of {@link runService}. */
export interface RunServiceOptions<K extends ConfigKeys> {
  readonly config: ConfigDefinition<K>;
  /**
   * The app's root module; import its file here, so that `--help` does not wait for it. In it and in
   * its feature modules the context is found by `contextToken`, and what a `provider` made ends as
   * it says; Nest's hooks run too, those of the shutdown before.
   */
  readonly module: (context: ServiceContext<ConfigOf<K>>) => AppModule | Promise<AppModule>;
  /**
   * What the configuration's switches do instead, by flag: the text is printed and the process
   * ends, with 1 when it fails.
   */
  readonly instead?: Readonly<Record<string, (config: ConfigOf<K>) => Promise<string>>>;
}

/**
 * Runs an app from start to exit: configuration, log, traces, metrics and health over HTTP, the
 * NestJS application with NATS commands, and the stop. It ends the process itself: 0 after SIGTERM,
 * SIGINT or a take-over by another instance, 1 when the start fails, the stop takes too long or a
 * fault is not handled, 64 and 78 as `loadConfig` says, 128 + signal number at a second signal.
 */
export async function runService<K extends ConfigKeys>(
  options: RunServiceOptions<K>,
): Promise<void> {
  const { app } = options.config;
  const { env } = process;
  const argv = process.argv.slice(2);
  const outcome = await loadConfig(options.config, { argv, env, version: serviceVersion() });
  if (outcome.action === 'exit') {
    printLine(outcome.stream, outcome.output, outcome.code);
    return;
  }
  const { switch: flag = '' } = outcome;
  const instead = options.instead?.[flag];
  if (instead !== undefined) {
    await instead(outcome.config).then(
      (text) => printLine('stdout', text, 0),
      (error: unknown) => printLine('stderr', `${app}: ${flag}: ${oneLine(error)}`, 1),
    );
    return;
  }
  // NestJS and all that a running service needs are loaded only now.
  const { serve } = await import('./serve');
  await serve(options, outcome);
}
