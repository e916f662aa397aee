import { parseNatsServer } from '@stowage/events';
import type { ConfigKey } from './config-key';

/** Property name → key. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a key's value type is invariant; only inference reads it
export type ConfigKeys = Readonly<Record<string, ConfigKey<any>>>;

/** The values of a definition's keys. */
export type ConfigOf<K extends ConfigKeys> = {
  readonly [P in keyof K]: K[P] extends ConfigKey<infer T> ? T : never;
};

/** What is wrong across keys: names the key to change. */
export interface ConfigProblem {
  readonly key: string;
  readonly allowed: string;
}

/** One app's configuration: everything that --help, the reference page and the loader need. */
export interface ConfigDefinition<K extends ConfigKeys> {
  readonly app: string;
  /** One sentence for --help. */
  readonly summary: string;
  readonly keys: K;
  /** Rules across keys; the first problem ends the start. */
  readonly checks: readonly ((config: ConfigOf<K>) => ConfigProblem | undefined)[];
  /**
   * Flags of this app alone, such as `--dry-run`, with what they do instead of running the service.
   */
  readonly switches: Readonly<Record<string, string>>;
  /** Flags that take a value and go with one of the switches. */
  readonly switchOptions: Readonly<Record<string, SwitchOption>>;
}

/** A flag with a value beside a switch, such as `--bytes 2Gi` beside `--dry-run`. */
export interface SwitchOption {
  /** The switch. */
  readonly of: string;
  /** What stands for the value in the help, in capitals. */
  readonly value: string;
  readonly does: string;
  /** What is allowed and how it is read; its default and meaning do not count. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a value of any type
  readonly key: Pick<ConfigKey<any>, 'schema' | 'allowed'>;
}

/** What texts about a definition need: everything but its rules. */
export type DescribedConfig = Pick<
  ConfigDefinition<ConfigKeys>,
  'app' | 'summary' | 'keys' | 'switches' | 'switchOptions'
>;

/** Where the configuration file is looked for when --config is not given. */
export const defaultConfigFile = '/etc/stowage/config.yaml';

/**
 * Declares an app's configuration. Throws (a fault of the program, met by its first test) when two
 * keys share a YAML key or an environment variable.
 */
export function defineConfig<K extends ConfigKeys>(options: {
  app: string;
  summary: string;
  keys: K;
  checks?: readonly ((config: ConfigOf<K>) => ConfigProblem | undefined)[];
  switches?: Readonly<Record<string, string>>;
  switchOptions?: Readonly<Record<string, SwitchOption>>;
}): ConfigDefinition<K> {
  const { app, summary, keys, switches = {}, switchOptions = {} } = options;
  const checks = [natsTlsPair, natsOneLogin, ...(options.checks ?? [])];
  const definition = { app, summary, keys, checks, switches, switchOptions };
  const names = Object.keys(options.keys).flatMap((name) => {
    const named = keyNames(options.keys, name);
    return [named.yaml, named.env];
  });
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`two keys of ${options.app} are called ${twice}`);
  return definition;
}

function natsTlsPair(config: Readonly<Record<string, unknown>>): ConfigProblem | undefined {
  const { natsTlsCert: certificate = '', natsTlsKey: privateKey = '' } = config;
  if ((certificate === '') === (privateKey === '')) return undefined;
  return certificate === ''
    ? { key: 'natsTlsKey', allowed: 'a path only together with natsTlsCert' }
    : { key: 'natsTlsCert', allowed: 'a path only together with natsTlsKey' };
}

function natsOneLogin(config: Readonly<Record<string, unknown>>): ConfigProblem | undefined {
  const { natsServers = [], natsCreds = '', natsNkeySeed = '' } = config;
  const inUrl = (natsServers as string[]).some((text) => parseNatsServer(text)?.user !== undefined);
  if (natsCreds !== '' && (natsNkeySeed !== '' || inUrl)) {
    const allowed = 'a path only without natsNkeySeed and without a login in natsServers';
    return { key: 'natsCreds', allowed };
  }
  return natsNkeySeed !== '' && inUrl
    ? { key: 'natsNkeySeed', allowed: 'a path only without a login in natsServers' }
    : undefined;
}

/** YAML key and environment variable of a property. */
export function keyNames(keys: ConfigKeys, property: string): { yaml: string; env: string } {
  const key = keys[property];
  const yaml = key?.yaml ?? property.replace(/Ms$/, '');
  const env =
    key?.env ??
    `STOWAGE_${yaml
      .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
      .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
      .toUpperCase()}`;
  return { yaml, env };
}
