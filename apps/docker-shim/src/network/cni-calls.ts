import { joinMessages } from '@stowage/errors';
import type { CapabilityArgs } from './capability-args';
import { isAtLeast, type JsonObject, type NetworkList, type PluginConfig } from './cni-config';
import { CniError, CniPluginMissingError } from './cni-errors';
import type { CniEnvironment, CniPlugins } from './cni-plugins';
import { CniResultError, readResult, type CniResult } from './cni-result';

/** A pod on a network, as its plugins are told of it. */
export interface Attachment extends CniEnvironment {
  readonly capabilityArgs: CapabilityArgs;
}

interface Options {
  readonly signal: AbortSignal;
}

type Plugins = Pick<CniPlugins, 'call' | 'ask'>;

/**
 * ADD: each plugin in order, each with the result of the one before.
 *
 * @throws {CniError} of the first one that fails; the others are not called.
 */
export async function addToNetwork(
  plugins: Plugins,
  list: NetworkList,
  attachment: Attachment,
  { signal }: Options,
): Promise<CniResult> {
  let result: CniResult | undefined;
  for (const plugin of list.plugins) {
    const config = configOf(list, plugin, attachment.capabilityArgs, result?.raw);
    const printed = await plugins.call('ADD', plugin.type, config, {
      signal,
      environment: attachment,
    });
    result = resultOf(printed, plugin.type, list, attachment);
  }
  if (result?.ips[0] === undefined) {
    throw new CniError('ADD', list.plugins.at(-1)?.type ?? '', 'the result has no address');
  }
  return result;
}

/**
 * DEL: each plugin, the last one first. One that fails keeps those before it, which its work may
 * stand on; one that is not there does not.
 *
 * @param result of ADD, where it is known.
 * @throws {CniError}
 */
export async function deleteFromNetwork(
  plugins: Plugins,
  list: NetworkList,
  attachment: Attachment,
  result: JsonObject | undefined,
  { signal }: Options,
): Promise<void> {
  const prevResult = isAtLeast(list.cniVersion, '0.4.0') ? result : undefined;
  let missing: CniPluginMissingError | undefined;
  for (const plugin of list.plugins.toReversed()) {
    const config = configOf(list, plugin, attachment.capabilityArgs, prevResult);
    try {
      await plugins.call('DEL', plugin.type, config, { signal, environment: attachment });
    } catch (error) {
      if (error instanceof CniPluginMissingError) missing ??= error;
      else if (!(error instanceof CniError && error.saysUnknown)) throw error;
    }
  }
  if (missing !== undefined) throw missing;
}

/**
 * CHECK: whether the pod's network is as ADD left it. Nothing is asked where the list says so.
 *
 * @throws {CniError} of the first plugin that finds something wrong.
 */
export async function checkInNetwork(
  plugins: Plugins,
  list: NetworkList,
  attachment: Attachment,
  result: JsonObject,
  { signal }: Options,
): Promise<void> {
  if (list.disableCheck || !isAtLeast(list.cniVersion, '0.4.0')) return;
  for (const plugin of list.plugins) {
    const config = configOf(list, plugin, attachment.capabilityArgs, result);
    await plugins.call('CHECK', plugin.type, config, { signal, environment: attachment });
  }
}

/** Whether the plugins of a list can be asked with STATUS and GC. */
export const hasStatusAndGc = ({ cniVersion }: NetworkList): boolean =>
  isAtLeast(cniVersion, '1.1.0');

/**
 * STATUS: whether all plugins can add pods.
 *
 * @throws {CniError} of the first one that cannot.
 */
export async function askStatus(
  plugins: Plugins,
  list: NetworkList,
  { signal }: Options,
): Promise<void> {
  if (!hasStatusAndGc(list)) return;
  for (const plugin of list.plugins) {
    await plugins.ask('STATUS', plugin.type, configOf(list, plugin), { signal });
  }
}

/**
 * GC: all plugins take away what belongs to none of the attachments. Each is called, whatever
 * another one says.
 *
 * @throws {AggregateError} of all failures.
 */
export async function collectInNetwork(
  plugins: Plugins,
  list: NetworkList,
  valid: readonly Pick<CniEnvironment, 'containerId' | 'ifName'>[],
  { signal }: Options,
): Promise<void> {
  if (!hasStatusAndGc(list) || list.disableGc) return;
  const attachments = valid.map(({ containerId, ifName }) => ({
    containerID: containerId,
    ifname: ifName,
  }));
  const failures: unknown[] = [];
  for (const plugin of list.plugins) {
    // The second key is the one that an early text of the specification named.
    const config = {
      ...configOf(list, plugin),
      'cni.dev/valid-attachments': attachments,
      'cni.dev/attachments': attachments,
    };
    await plugins
      .call('GC', plugin.type, config, { signal })
      .catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) {
    throw new AggregateError(
      failures,
      joinMessages(failures.map((error) => (error as Error).message)),
    );
  }
}

/** The configuration that a plugin gets: its own, with what the list and the pod add to it. */
function configOf(
  { name, cniVersion }: NetworkList,
  { raw, capabilities }: PluginConfig,
  capabilityArgs: CapabilityArgs = {},
  prevResult?: JsonObject,
): JsonObject {
  const told = Object.entries(capabilityArgs).filter(([capability]) =>
    capabilities.has(capability),
  );
  return {
    ...raw,
    name,
    cniVersion,
    ...(prevResult && { prevResult }),
    ...(told.length > 0 && { runtimeConfig: Object.fromEntries(told) }),
  };
}

function resultOf(
  printed: string,
  type: string,
  { cniVersion }: NetworkList,
  { ifName }: Attachment,
): CniResult {
  try {
    return readResult(JSON.parse(printed), cniVersion, ifName);
  } catch (error) {
    const problem = error instanceof CniResultError ? error.message : 'the result is not JSON';
    throw new CniError('ADD', type, problem, {}, { cause: error });
  }
}
