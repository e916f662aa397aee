export type JsonObject = Readonly<Record<string, unknown>>;

/** One plugin of a list. */
export interface PluginConfig {
  /** Name of its program. */
  readonly type: string;
  /** What it wants to be told of the pod, by name. */
  readonly capabilities: ReadonlySet<string>;
  /** All that its configuration says. */
  readonly raw: JsonObject;
}

/** Configuration of a network: its plugins, in the order in which they add a pod. */
export interface NetworkList {
  readonly name: string;
  /** Version of the CNI specification that its plugins are called in. */
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGc: boolean;
  /** Whether the folder of the network's name holds no plugins of it. */
  readonly inlinedOnly: boolean;
  readonly plugins: readonly PluginConfig[];
  /** The whole list as JSON: what is kept with a pod. */
  readonly text: string;
}

/** A configuration that cannot be used; the message says why. */
export class CniConfigError extends Error {
  override readonly name = 'CniConfigError';
}

/** Versions of the specification that are known, oldest first. */
const versions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
const oldest = '0.1.0';

/** Names of networks and ids of containers, as the specification allows them. */
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export const isKnownVersion = (version: string): boolean => versions.includes(version);

/** Whether a version is `wanted` or later. Both are known ones. */
export const isAtLeast = (version: string, wanted: string): boolean =>
  versions.indexOf(version) >= versions.indexOf(wanted);

/**
 * The list in a `.conflist` file. It may lack plugins, which are then in the folder of its name.
 *
 * @throws {CniConfigError}
 */
export function parseNetworkList(text: string): NetworkList {
  const raw = parseObject(text);
  const name = networkName(raw);
  const inlinedOnly = flag(raw, 'loadOnlyInlinedPlugins');
  const { plugins } = raw;
  if (plugins === undefined) {
    if (inlinedOnly)
      throw new CniConfigError('loadOnlyInlinedPlugins is true and it has no plugins');
  } else if (!Array.isArray(plugins) || plugins.length === 0) {
    throw new CniConfigError('plugins is not a list with at least one entry');
  }
  return {
    name,
    cniVersion: listVersion(raw),
    disableCheck: flag(raw, 'disableCheck'),
    disableGc: flag(raw, 'disableGC'),
    inlinedOnly,
    plugins: ((plugins ?? []) as unknown[]).map(pluginOf),
    text,
  };
}

/**
 * The plugin in a `.conf` or `.json` file, as a list of one.
 *
 * @throws {CniConfigError}
 */
export function parseSinglePlugin(text: string): NetworkList {
  const raw = parseObject(text);
  if (raw.type === undefined && raw.plugins !== undefined) {
    throw new CniConfigError('it has no type; a list belongs into a .conflist file');
  }
  const plugin = pluginOf(raw);
  const name = networkName(raw);
  const cniVersion = listVersion({ cniVersion: raw.cniVersion });
  return {
    name,
    cniVersion,
    disableCheck: false,
    disableGc: false,
    inlinedOnly: true,
    plugins: [plugin],
    text: JSON.stringify({ name, cniVersion, plugins: [raw] }),
  };
}

/**
 * The configuration of a plugin in the folder of a network.
 *
 * @throws {CniConfigError}
 */
export const parsePlugin = (text: string): PluginConfig => pluginOf(parseObject(text));

/** A list with more plugins after its own, all of them in its text. */
export function withPlugins(list: NetworkList, more: readonly PluginConfig[]): NetworkList {
  if (more.length === 0) return list;
  const plugins = [...list.plugins, ...more];
  const whole = {
    ...parseObject(list.text),
    loadOnlyInlinedPlugins: true,
    plugins: plugins.map(({ raw }) => raw),
  };
  return { ...list, inlinedOnly: true, plugins, text: JSON.stringify(whole) };
}

function parseObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CniConfigError('it is not JSON');
  }
  if (!isObject(value)) throw new CniConfigError('it is not a JSON object');
  return value;
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value != null && !Array.isArray(value);

function networkName({ name }: JsonObject): string {
  if (typeof name !== 'string' || name === '') throw new CniConfigError('it has no name');
  if (!namePattern.test(name)) {
    throw new CniConfigError(
      `the name ${JSON.stringify(name)} is not letters, digits, '_', '.' and '-', with a letter or digit first`,
    );
  }
  return name;
}

function pluginOf(raw: unknown): PluginConfig {
  const { type, capabilities } = isObject(raw) ? raw : {};
  if (!isObject(raw) || typeof type !== 'string' || type === '') {
    throw new CniConfigError('a plugin has no type');
  }
  if (type.includes('/') || type === '.' || type === '..') {
    throw new CniConfigError(`the type ${JSON.stringify(type)} is not the name of a program`);
  }
  const declared = isObject(capabilities) ? Object.entries(capabilities) : [];
  return {
    type,
    capabilities: new Set(declared.filter(([, wanted]) => wanted === true).map(([name]) => name)),
    raw,
  };
}

/** The highest version that the list offers and that is known. */
function listVersion({ cniVersion = '', cniVersions }: JsonObject): string {
  if (typeof cniVersion !== 'string') throw new CniConfigError('cniVersion is not a text');
  if (cniVersions === undefined) {
    if (cniVersion === '') return oldest;
    if (!isKnownVersion(cniVersion)) {
      throw new CniConfigError(`cniVersion ${cniVersion} is not one of ${versions.join(', ')}`);
    }
    return cniVersion;
  }
  if (!Array.isArray(cniVersions) || !cniVersions.every((entry) => typeof entry === 'string')) {
    throw new CniConfigError('cniVersions is not a list of texts');
  }
  const offered = [...cniVersions, cniVersion];
  const best = versions.findLast((version) => offered.includes(version));
  if (best === undefined) {
    throw new CniConfigError(`cniVersions has none of ${versions.join(', ')}`);
  }
  return best;
}

/** `true` or `false`, also as a text. */
function flag(raw: JsonObject, key: string): boolean {
  const value = raw[key] ?? false;
  const text = typeof value === 'boolean' || typeof value === 'string' ? String(value) : '';
  const word = text.toLowerCase();
  if (word !== 'true' && word !== 'false') throw new CniConfigError(`${key} is not true or false`);
  return word === 'true';
}
