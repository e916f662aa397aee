import path from 'node:path';
import { describeKeys, parseListenAddress, type DescribedConfig } from '@stowage/service-kit';

/** What the templates need to know of an app, by its own configuration. */
export interface AppFacts {
  /** Port of metrics and health. */
  readonly httpPort: number;
  readonly stateDir: string;
  /** Folder of the sockets of the suite. */
  readonly socketDir: string;
  readonly configFile: string;
  /** Time that a stop may take, and 10 s for what comes before and after. */
  readonly terminationGracePeriodSeconds: number;
  /** Variables of the environment by the name of the key. */
  readonly env: Readonly<Record<string, string>>;
}

/** Keys that differ between nodes and pods, and so stand in the environment. */
const keysInEnvironment = [
  'nodeName',
  'runtimeEndpoint',
  'httpAddr',
  'natsServers',
  'natsNkeySeed',
] as const;

/** Where the services look for their configuration unless they are told otherwise. */
const configFile = '/etc/stowage/config.yaml';

/**
 * The facts of an app.
 *
 * @throws Error when the app has no such key, or no port.
 */
export function factsOf(definition: DescribedConfig): AppFacts {
  const { app } = definition;
  const keys = describeKeys(definition);
  const keyOf = (name: string) => {
    const found = keys.find(({ yaml }) => yaml === name);
    if (found === undefined) throw new Error(`${app} has no key ${name}`);
    return found;
  };
  const defaultOf = (name: string): unknown => {
    const { key } = keyOf(name);
    const context = { app, hostName: '', value: () => undefined };
    return typeof key.default === 'function'
      ? (key.default as (given: typeof context) => unknown)(context)
      : key.default;
  };
  const address = parseListenAddress(defaultOf('httpAddr') as string);
  if (address?.kind !== 'tcp') throw new Error(`httpAddr of ${app} has no port`);
  return {
    httpPort: address.port,
    stateDir: defaultOf('stateDir') as string,
    socketDir: path.dirname(defaultOf('commandSocket') as string),
    configFile,
    terminationGracePeriodSeconds: Math.ceil((defaultOf('stopTimeout') as number) / 1000) + 10,
    env: Object.fromEntries(keysInEnvironment.map((name) => [name, keyOf(name).env])),
  };
}

/** Content of the chart's files/apps.json. */
export function chartFacts(definitions: readonly DescribedConfig[]) {
  return {
    configFile,
    variables: [
      ...new Set(
        definitions.flatMap((definition) => describeKeys(definition).map(({ env }) => env)),
      ),
    ].sort(),
    apps: Object.fromEntries(
      definitions.map((definition) => [definition.app, factsOf(definition)]),
    ),
  };
}
