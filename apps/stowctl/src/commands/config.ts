import { isDeepStrictEqual } from 'node:util';
import { commandApps } from '@stowage/commands';
import { askLocalService } from '@stowage/commands/local';
import { nearest } from '@stowage/errors';
import type { Call } from '../command-line/define';
import { CommandFailure, UsageError } from '../failures';
import {
  checkedConfig,
  configKeys,
  installedServices,
  ownEnvironment,
  readProcess,
  type ConfigKeyText,
  type ConfigValue,
  type ServiceProcess,
} from '../services/service-config';
import { defaultSocketFolder, socketOf } from '../transport/local-transport';

const askMs = 3000;

/** `stowctl config explain KEY`: meaning, default, and where the value comes from. */
export async function configExplain(call: Call): Promise<number> {
  const [wanted = ''] = call.args;
  const apps = selectedApps(call);
  const known = await Promise.all(
    apps.map(async (app) => ({ app, keys: await configKeys(app, call.signal) })),
  );
  const found = known.flatMap(({ app, keys }) =>
    keys.filter((key) => isCalled(key, wanted)).map((key) => ({ app, key })),
  );
  if (found.length === 0) {
    const names = known.flatMap(({ keys }) => keys.flatMap(({ yaml, env }) => [yaml, env]));
    const near = nearest(wanted, [...new Set(names)])?.name ?? '';
    throw new UsageError(
      `no service has a key ${JSON.stringify(wanted)}`,
      `the nearest is ${near}`,
    );
  }
  const described = await Promise.all(
    found.map(async ({ app, key }) => {
      const process = await processOf(call, app);
      const { values, problem } = await checkedConfig(app, process, call.signal);
      const value = values.find(({ yaml }) => yaml === key.yaml);
      return {
        app,
        ...key,
        value: value?.value,
        origin: value?.origin,
        source: process.source,
        problem,
      };
    }),
  );
  await call.out.show({
    data: described,
    tables: described.map(({ app, yaml, env, kubelet, ...one }) => ({
      heading: `${app}: ${yaml}`,
      columns: [{ title: '' }, { title: '' }],
      rows: [
        ['meaning', one.meaning],
        ['value', one.problem ?? `${shown(one.value)}, from ${one.origin ?? '-'} (${one.source})`],
        ['default', one.defaultText],
        ['allowed', one.allowed],
        ['variable', env],
        ['file', `/etc/stowage/config.yaml, section "${app}:", key ${yaml}`],
        ...(kubelet === undefined ? [] : [['kubelet', `${kubelet} in its configuration file`]]),
      ],
    })),
  });
  return 0;
}

const isCalled = ({ yaml, env }: ConfigKeyText, wanted: string): boolean =>
  [yaml, env].some((name) => name.toLowerCase() === wanted.toLowerCase());

/** A value as the configuration file would have it. */
const shown = (value: unknown): string =>
  typeof value === 'string' ? value || '(none)' : JSON.stringify(value);

/** `stowctl config diff`: what services run with that is not their default. */
export async function configDiff(call: Call): Promise<number> {
  const results = await Promise.all(
    selectedApps(call).map(async (app) => {
      const process = await processOf(call, app);
      const [config, defaults] = await Promise.all([
        checkedConfig(app, process, call.signal),
        checkedConfig(app, bare, call.signal),
      ]);
      return {
        app,
        source: process.source,
        config,
        changed: changed(config.values, defaults.values),
      };
    }),
  );
  const problems = results.flatMap(({ app, config: { problem, warnings } }) => [
    ...(problem === undefined ? [] : [`${app} would not start: ${problem}`]),
    ...warnings.map((warning) => `${app}: ${warning}`),
  ]);
  await call.out.show({
    data: results.map(({ app, source, config, changed: values }) => ({
      app,
      source,
      values,
      warnings: config.warnings,
      problem: config.problem,
    })),
    tables: [
      {
        columns: [
          { title: 'SERVICE' },
          { title: 'KEY' },
          { title: 'VALUE' },
          { title: 'DEFAULT' },
          { title: 'FROM' },
          { title: 'READ OF', isWide: true },
        ],
        rows: results.flatMap(({ app, source, changed: values }) =>
          values.map(({ yaml, value, defaultValue, origin }) => [
            app,
            yaml,
            shown(value),
            shown(defaultValue),
            origin,
            source,
          ]),
        ),
        empty: 'every key has its default',
      },
    ],
    notes: problems,
  });
  return problems.length > 0 ? 1 : 0;
}

/** No variable and no file: the defaults alone. */
const bare: ServiceProcess = { env: {}, args: ['--config=/dev/null'], source: 'nothing' };

function changed(values: readonly ConfigValue[], defaults: readonly ConfigValue[]) {
  return values.flatMap(({ yaml, value, origin }) => {
    const defaultValue = defaults.find((other) => other.yaml === yaml)?.value;
    // A file may say what is the default anyway.
    if (origin === 'default' || isDeepStrictEqual(value, defaultValue)) return [];
    return [{ yaml, value, defaultValue, origin }];
  });
}

function selectedApps({ flags }: Call): string[] {
  const installed = installedServices();
  const app = flags.text('app');
  if (app === undefined) {
    // docker-shim is installed with the others, and few nodes have it.
    const usual = installed.filter(
      (name) => name !== 'docker-shim' && (commandApps as string[]).includes(name),
    );
    if (usual.length > 0) return usual;
    throw new CommandFailure(
      'no service is installed beside stowctl',
      'run the stowctl that belongs to the services, in the folder or image with them',
    );
  }
  if (installed.includes(app)) return [app];
  const near = nearest(app, installed);
  throw new UsageError(
    `--app ${JSON.stringify(app)} is not installed beside stowctl`,
    near === undefined ? undefined : `the nearest is ${near.name}`,
  );
}

/** The running process of a service, else this environment. */
async function processOf({ flags, env, signal }: Call, app: string): Promise<ServiceProcess> {
  const folder = flags.text('sockets') ?? defaultSocketFolder;
  const info = await askLocalService(socketOf(folder, app), app, {
    timeoutMs: askMs,
    signal,
  }).catch(() => undefined);
  const running = info === undefined ? undefined : readProcess(app, info.pid);
  return running ?? ownEnvironment(env);
}
