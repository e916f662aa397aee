import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import os from 'node:os';
import { errorMessage, nearest, quoteValue } from '@stowage/errors';
import type { ConfigKey } from './config-key';
import { renderCheck, renderHelp } from './config-text';
import {
  defaultConfigFile,
  keyNames,
  type ConfigDefinition,
  type ConfigKeys,
  type ConfigOf,
  type DescribedConfig,
  type SwitchOption,
} from './define-config';
import { parseGoDuration } from '@stowage/go-duration';
import type { KubeletConfiguration, KubeletFiles } from './kubelet-config';
import { isMapping, kindOf, type Mapping } from './mapping';

/** Exit code of a wrong configuration (EX_CONFIG). */
export const exitCodeConfig = 78;
/** Exit code of a wrong command line (EX_USAGE). */
export const exitCodeUsage = 64;

/** The world outside, handed in so that a test can say what it holds. */
export interface LoadInput {
  /** Arguments after the program's name. */
  argv: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
  version: string;
  /** Text of a file; throws an error with `code` ENOENT when there is none. */
  readFile?: (path: string) => string;
  /** What a folder holds; throws an error with `code` ENOENT when there is none. */
  listFolder?: KubeletFiles['listFolder'];
  hostName?: string;
}

/** What the process does next. `exit` prints `output` on the stream it names. */
export type LoadOutcome<C> =
  | {
      action: 'run';
      config: C;
      notes: readonly string[];
      switch?: string;
      /** Values of the flags that go with the switch. */
      switchOptions: Readonly<Record<string, unknown>>;
    }
  | { action: 'exit'; code: number; stream: 'stdout' | 'stderr'; output: string };

/** A value and where it came from. */
interface Given {
  raw: unknown;
  /** As the error line names it: variable or YAML path, then the source in brackets. */
  label: string;
  source: string;
}

/** Ends loading with one line; caught in {@link loadConfig}. */
class ConfigError extends Error {
  constructor(
    message: string,
    readonly exitCode: number = exitCodeConfig,
  ) {
    super(message);
  }
}

/**
 * Reads one app's configuration. Later wins: defaults, KubeletConfiguration (--kubelet-config),
 * configuration file, environment. Every given value is checked, also one that a later source
 * overrides. Never throws for what a user did wrong: the outcome says what to print and the exit
 * code.
 */
export async function loadConfig<K extends ConfigKeys>(
  definition: ConfigDefinition<K>,
  input: LoadInput,
): Promise<LoadOutcome<ConfigOf<K>>> {
  try {
    return await load(definition, input);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const what = error.exitCode === exitCodeUsage ? '' : 'configuration: ';
    const line = `${definition.app}: ${what}${error.message}`.replaceAll(/\s*[\r\n]+\s*/g, ' ');
    return { action: 'exit', code: error.exitCode, stream: 'stderr', output: line };
  }
}

async function load<K extends ConfigKeys>(
  definition: ConfigDefinition<K>,
  input: LoadInput,
): Promise<LoadOutcome<ConfigOf<K>>> {
  const flags = parseFlags(input.argv, definition);
  if (flags.help) {
    return { action: 'exit', code: 0, stream: 'stdout', output: renderHelp(definition) };
  }
  if (flags.version) {
    const output = `${definition.app} ${input.version}`;
    return { action: 'exit', code: 0, stream: 'stdout', output };
  }
  const { readFile = readConfigFile, listFolder = listConfigFolder } = input;
  const kubelet = await fromKubelet(definition.keys, flags, { readFile, listFolder });
  const given = [
    kubelet.given,
    await fromFile(definition, flags.config, readFile),
    fromEnvironment(definition.keys, input.env),
  ];
  const values: Record<string, unknown> = {};
  const sources: Record<string, string> = {};
  for (const [name, key] of Object.entries(definition.keys)) {
    let winner: { value: unknown; source: string } | undefined;
    for (const source of given) {
      const entry = source.get(name);
      if (entry === undefined) continue;
      winner = { value: checked(key, entry), source: entry.source };
    }
    if (winner === undefined) {
      const { env } = keyNames(definition.keys, name);
      const raw = defaultOf(key, definition.app, input.hostName ?? os.hostname(), values);
      winner = { value: raw, source: 'default' };
      if (key.defaultText !== undefined && typeof raw === 'string') {
        checked(key, { raw, label: `${env} (default: ${key.defaultText})`, source: 'default' });
      }
    }
    values[name] = winner.value;
    sources[name] = winner.source;
  }
  const config = Object.freeze(values) as ConfigOf<K>;
  for (const check of definition.checks) {
    const problem = check(config);
    if (problem === undefined) continue;
    const key = definition.keys[problem.key];
    const { yaml, env } = keyNames(definition.keys, problem.key);
    const shown = key === undefined ? undefined : key.print(values[problem.key]);
    throw new ConfigError(
      `${yaml} (${env}, from ${sources[problem.key] ?? 'default'}) is ${shownValue(key, shown)}; allowed: ${problem.allowed}`,
    );
  }
  const notes = [...kubelet.warnings, ...misspelt(definition.keys, input.env)];
  if (flags.strict && notes.length > 0) throw new ConfigError(notes.join('; '));
  if (flags.checkConfig) {
    const output = renderCheck(definition, config, { sources, notes, version: input.version });
    return { action: 'exit', code: 0, stream: 'stdout', output };
  }
  const { switchOptions } = flags;
  return {
    ...{ action: 'run', config, notes, switchOptions },
    ...(flags.switch && { switch: flags.switch }),
  };
}

interface Flags {
  help: boolean;
  version: boolean;
  checkConfig: boolean;
  /** With `checkConfig`: a warning is an error. */
  strict: boolean;
  config?: string;
  kubeletConfig?: string;
  kubeletConfigDir?: string;
  /** One of the app's own. */
  switch?: string;
  /** Flags that go with it, and their values. */
  switchOptions: Record<string, unknown>;
}

const knownFlags = [
  '--help',
  '--version',
  '--check-config',
  '--strict',
  '--config',
  '--kubelet-config',
  '--kubelet-config-dir',
];

function parseFlags(
  argv: readonly string[],
  { switches: own, switchOptions }: Pick<DescribedConfig, 'switches' | 'switchOptions'>,
): Flags {
  const switches = Object.keys(own);
  const flags: Flags = {
    ...{ help: false, version: false, checkConfig: false, strict: false },
    switchOptions: {},
  };
  const rest = [...argv];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const [name = '', ...joined] = arg.split('=');
    const option = switchOptions[name];
    const value = () => {
      const text = arg.includes('=') ? joined.join('=') : rest.shift();
      if (text === undefined || text === '') {
        const folderOrFile = name === '--kubelet-config-dir' ? 'folder' : 'file';
        const what = option === undefined ? folderOrFile : 'value';
        throw new ConfigError(`${name} needs a ${what}`, exitCodeUsage);
      }
      return text;
    };
    const isOwn = switches.includes(name);
    const isSwitch =
      isOwn || ['--help', '-h', '--version', '--check-config', '--strict'].includes(name);
    if (isSwitch && arg.includes('=')) {
      throw new ConfigError(`${name} takes no value`, exitCodeUsage);
    }
    switch (name) {
      case '--help':
      case '-h':
        flags.help = true;
        break;
      case '--version':
        flags.version = true;
        break;
      case '--check-config':
        flags.checkConfig = true;
        break;
      case '--strict':
        flags.strict = true;
        break;
      case '--config':
        flags.config = value();
        break;
      case '--kubelet-config':
        flags.kubeletConfig = value();
        break;
      case '--kubelet-config-dir':
        flags.kubeletConfigDir = value();
        break;
      default:
        if (isOwn) {
          flags.switch = name;
          break;
        }
        if (option !== undefined) {
          flags.switchOptions[name] = optionValue(name, option, value());
          break;
        }
        throw new ConfigError(
          `unknown ${name.startsWith('-') ? 'flag' : 'argument'} ${quoteValue(name)}; allowed: ${[...knownFlags, ...switches, ...Object.keys(switchOptions)].join(', ')}`,
          exitCodeUsage,
        );
    }
  }
  for (const name of Object.keys(flags.switchOptions)) {
    const of = switchOptions[name]?.of ?? '';
    if (flags.switch !== of) throw new ConfigError(`${name} goes with ${of}`, exitCodeUsage);
  }
  if (flags.strict && !flags.checkConfig) {
    throw new ConfigError('--strict goes with --check-config', exitCodeUsage);
  }
  return flags;
}

function optionValue(name: string, { key }: SwitchOption, text: string): unknown {
  const result = key.schema.safeParse(text);
  if (result.success) return result.data;
  throw new ConfigError(`${name} is ${quoteValue(text)}; allowed: ${key.allowed}`, exitCodeUsage);
}

function defaultOf(
  key: ConfigKey<unknown>,
  app: string,
  hostName: string,
  values: Readonly<Record<string, unknown>>,
): unknown {
  if (typeof key.default !== 'function') return key.default;
  const compute = key.default as (context: unknown) => unknown;
  return compute({ app, hostName, value: (name: string) => values[name] });
}

const shownValue = (key: ConfigKey<unknown> | undefined, value: unknown): string =>
  key?.secret === true ? '[redacted]' : quoteValue(value);

/** A raw value may hold a secret inside (user and password of a server's URL). */
function shownRaw(key: ConfigKey<unknown>, raw: unknown): string {
  if (key.secret) return '[redacted]';
  if (key.withoutSecrets !== undefined) return quoteValue(inTexts(raw, key.withoutSecrets));
  return quoteValue(raw).replaceAll(/(?<=^|["/,\s])[^\s"/,@]+@/g, '[redacted]@');
}

/** The value with each text in it changed, keys of mappings too. */
function inTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((item) => inTexts(item, change));
  if (!isMapping(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [change(name), inTexts(item, change)]),
  );
}

function checked(key: ConfigKey<unknown>, given: Given): unknown {
  const result = key.schema.safeParse(given.raw);
  if (result.success) return result.data;
  throw new ConfigError(`${given.label} is ${shownRaw(key, given.raw)}; allowed: ${key.allowed}`);
}

function fromEnvironment(keys: ConfigKeys, env: LoadInput['env']): Map<string, Given> {
  const given = new Map<string, Given>();
  for (const [name, key] of Object.entries(keys) as [string, ConfigKey<unknown>][]) {
    const variable = keyNames(keys, name).env;
    const text = env[variable];
    if (text === undefined) continue;
    const raw = key.fromText(text);
    // Compose files and systemd units pass variables that are set to nothing; for most keys that is
    // no value.
    if (text === '' && !key.schema.safeParse(raw).success) continue;
    given.set(name, { raw, label: `${variable} (environment)`, source: 'environment' });
  }
  return given;
}

/**
 * Variables that look like a key of this app with a slip: one of three letters in a long name, of
 * two in any, in the prefix too, or in the case. Names of other apps' keys are farther away.
 */
function misspelt(keys: ConfigKeys, env: LoadInput['env']): string[] {
  const known = Object.keys(keys).map((name) => keyNames(keys, name).env);
  return Object.keys(env)
    .filter((name) => isOurs(name) && !known.includes(name))
    .flatMap((name) => {
      const near = nearest(name, known);
      const allowed = name.length >= longName ? misspeltEdits + 1 : misspeltEdits;
      return near !== undefined && near.edits <= allowed
        ? [`environment variable ${name} is not known; nearest: ${near.name}`]
        : [];
    });
}

const prefix = 'STOWAGE_';
const isOurs = (name: string): boolean =>
  (nearest(name.slice(0, prefix.length), [prefix])?.edits ?? Infinity) <= misspeltEdits;

/** Length from which a name may have a slip more and still be taken for a misspelt one. */
const longName = 24;

/**
 * Bytes of one file: many times what a configuration needs, and read within a second or two
 * whatever it holds.
 */
const maxFileBytes = 256 * 1024;

/**
 * Text of a configuration file. Throws what the system says (`code` ENOENT, …), and an error for a
 * file above 256 KiB.
 */
export function readConfigFile(path: string): string {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(maxFileBytes + 1);
    let length = 0;
    let read = 0;
    do {
      read = readSync(file, buffer, length, buffer.length - length, null);
      length += read;
    } while (read > 0 && length < buffer.length);
    if (length > maxFileBytes) {
      throw new Error(`it is too large; allowed: at most ${maxFileBytes / 1024} KiB`);
    }
    return buffer.toString('utf8', 0, length);
  } finally {
    closeSync(file);
  }
}

/** What a folder of configuration files holds. Throws what the system says. */
export function listConfigFolder(folder: string): { name: string; isFolder: boolean }[] {
  return readdirSync(folder, { withFileTypes: true }).map((entry) => ({
    name: entry.name,
    isFolder: entry.isDirectory(),
  }));
}

/** Runs `read` on a path; what it throws becomes a line that names the path. */
function readPath<T>(path: string, what: 'file' | 'folder', read: (path: string) => T): T {
  try {
    return read(path);
  } catch (error) {
    const isMissing = (error as { code?: unknown }).code === 'ENOENT';
    throw new ConfigError(
      `${path} cannot be read: ${isMissing ? `no such ${what}` : errorMessage(error)}`,
    );
  }
}

async function readYaml(
  path: string,
  readFile: (path: string) => string,
  options: { optional: boolean },
): Promise<Mapping | undefined> {
  const text = readPath(path, 'file', (name) => {
    try {
      return readFile(name);
    } catch (error) {
      if (options.optional && (error as { code?: unknown }).code === 'ENOENT') return undefined;
      throw error;
    }
  });
  if (text === undefined) return undefined;
  const { parseConfigYaml, YamlError } = await import('./config-yaml');
  let content: unknown;
  try {
    content = parseConfigYaml(text);
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw new ConfigError(`${path} is not YAML: ${error.message}`);
  }
  if (content == null) return {};
  if (!isMapping(content)) {
    throw new ConfigError(`${path} is ${kindOf(content)}; allowed: a mapping of keys to values`);
  }
  return content;
}

async function fromFile(
  definition: DescribedConfig,
  flag: string | undefined,
  readFile: (path: string) => string,
): Promise<Map<string, Given>> {
  const path = flag ?? defaultConfigFile;
  const content = await readYaml(path, readFile, { optional: flag === undefined });
  const given = new Map<string, Given>();
  if (content === undefined) return given;
  const names = Object.keys(definition.keys);
  const byYaml = new Map(names.map((name) => [keyNames(definition.keys, name).yaml, name]));
  const shared = [...byYaml].filter(([, name]) => definition.keys[name]?.scope === 'node');
  const source = `file ${path}`;
  const take = (section: Mapping, allowed: readonly string[], prefix: string) => {
    for (const [yaml, raw] of Object.entries(section)) {
      const name = byYaml.get(yaml);
      if (name === undefined || !allowed.includes(yaml)) {
        const own = prefix === '' && name !== undefined;
        const hint = own
          ? `it belongs in the section ${definition.app}`
          : `nearest: ${nearest(yaml, allowed)?.name ?? 'none'}`;
        throw new ConfigError(`${prefix}${yaml} (${path}) is not a known key here; ${hint}`);
      }
      // A key without a value (`listen:`) is not set.
      if (raw == null) continue;
      given.set(name, { raw, label: `${prefix}${yaml} (${path})`, source });
    }
  };
  const top = Object.fromEntries(
    Object.entries(content).filter(
      ([name]) => name !== definition.app && !isSectionOfAnother(name, definition.app),
    ),
  );
  const allowedTop = shared.map(([yaml]) => yaml);
  for (const yaml of Object.keys(top)) {
    if (byYaml.has(yaml) || allowedTop.includes(yaml)) continue;
    const near = nearest(yaml, [...allowedTop, definition.app])?.name ?? 'none';
    throw new ConfigError(`${yaml} (${path}) is not a known key; nearest: ${near}`);
  }
  take(top, allowedTop, '');
  const section = content[definition.app];
  if (section == null) return given;
  if (!isMapping(section)) {
    throw new ConfigError(
      `${definition.app} (${path}) is ${kindOf(section)}; allowed: a mapping of keys to values`,
    );
  }
  take(section, [...byYaml.keys()], `${definition.app}.`);
  return given;
}

/** Edits up to which a name is taken for a misspelt one. */
const misspeltEdits = 2;

/**
 * Whether a name at the top of the file is that of another app's section. Names of apps have a
 * hyphen and keys have none: which other apps there are need not be known, so a file may have the
 * section of an app that is newer than this one.
 */
function isSectionOfAnother(name: string, app: string): boolean {
  const edits = nearest(name, [app])?.edits ?? 0;
  return /^[a-z][a-z0-9]*(?:-[a-z0-9]+)+$/.test(name) && edits > misspeltEdits;
}

const isZero = (raw: unknown) =>
  raw === 0 || raw === '' || (typeof raw === 'string' && parseGoDuration(raw) === 0);

async function fromKubelet(
  keys: ConfigKeys,
  { kubeletConfig: file, kubeletConfigDir: folder }: Flags,
  { readFile, listFolder }: KubeletFiles,
): Promise<{ given: Map<string, Given>; warnings: readonly string[] }> {
  const given = new Map<string, Given>();
  if (file === undefined && folder === undefined) return { given, warnings: [] };
  const { readKubeletConfiguration } = await import('./kubelet-config');
  let kubelet: KubeletConfiguration;
  try {
    kubelet = readKubeletConfiguration(
      { file, folder },
      {
        readFile: (path) => readPath(path, 'file', readFile),
        listFolder: (path) => readPath(path, 'folder', listFolder),
      },
    );
  } catch (error) {
    throw new ConfigError(errorMessage(error));
  }
  for (const [name, key] of Object.entries(keys)) {
    if (key.kubelet === undefined) continue;
    const raw = kubelet.values[key.kubelet.key];
    if (raw == null) continue;
    const path = kubelet.files.get(key.kubelet.key) ?? '';
    const label = `${key.kubelet.key} (${path})`;
    if ((Array.isArray(raw) ? 'list' : typeof raw) !== key.kubelet.kind) {
      throw new ConfigError(
        `${label} is ${quoteValue(raw)}; allowed: a ${key.kubelet.kind}, as kubelet reads it`,
      );
    }
    if (key.kubelet.zeroIsUnset === true && isZero(raw)) continue;
    given.set(name, { raw, label, source: `kubelet file ${path}` });
  }
  return { given, warnings: kubelet.warnings };
}
