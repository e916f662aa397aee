import * as z from 'zod';
import { addressOf } from './cidr';
import { isAtLeast, isKnownVersion, type JsonObject } from './cni-config';

/** What the plugins of a network answered to ADD. */
export interface CniResult {
  /** As the last plugin printed it, with its version. */
  readonly raw: JsonObject;
  /** Addresses of the pod's interface, in the plugins' order. */
  readonly ips: readonly string[];
}

/** A result that is none of those that the specification describes; the message says why. */
export class CniResultError extends Error {
  override readonly name = 'CniResultError';
}

const address = z.string().refine((text) => addressOf(text) !== undefined);
/** Results before 0.3.0. */
const ipConfig = z.looseObject({ ip: address }).nullish();
const oldResult = z.looseObject({ ip4: ipConfig, ip6: ipConfig });
const result = z.looseObject({
  interfaces: z
    .array(z.looseObject({ name: z.string(), sandbox: z.string().optional() }))
    .nullish(),
  ips: z.array(z.looseObject({ address, interface: z.int().nullish() })).nullish(),
});
type Result = z.infer<typeof result>;

/**
 * Reads a result of any version.
 *
 * @param value what the plugin printed, parsed.
 * @param version of the network's list, which counts where the result names none.
 * @param ifName the pod's interface.
 * @throws {CniResultError}
 */
export function readResult(value: unknown, version: string, ifName: string): CniResult {
  const parsed = z.record(z.string(), z.unknown()).safeParse(value);
  if (!parsed.success) throw new CniResultError('the result is not a JSON object');
  const cniVersion = parsed.data.cniVersion ?? version;
  if (typeof cniVersion !== 'string' || !isKnownVersion(cniVersion)) {
    throw new CniResultError(`the result has the unknown version ${JSON.stringify(cniVersion)}`);
  }
  const raw = { ...parsed.data, cniVersion };
  return {
    raw,
    ips: [...new Set(isAtLeast(cniVersion, '0.3.0') ? ipsOf(raw, ifName) : oldIps(raw))],
  };
}

function oldIps(raw: JsonObject): string[] {
  const { ip4, ip6 } = checked(oldResult, raw);
  return [ip4?.ip, ip6?.ip].flatMap((text) => addressOf(text ?? '') ?? []);
}

function ipsOf(raw: JsonObject, ifName: string): string[] {
  const { ips, interfaces } = checked(result, raw);
  const all = ips ?? [];
  const list = interfaces ?? [];
  for (const { interface: index } of all) {
    if (typeof index === 'number' && list[index] === undefined) {
      throw new CniResultError(`the result has an address on interface ${index}, which it lacks`);
    }
  }
  const onInterface = ofInterface(all, list, ({ name }) => name === ifName);
  const own =
    onInterface.length > 0
      ? onInterface
      : ofInterface(all, list, ({ sandbox = '' }) => sandbox !== '');
  return own.flatMap((text) => addressOf(text) ?? []);
}

/** Addresses on interfaces that are wanted, and those that name none. */
function ofInterface(
  ips: NonNullable<Result['ips']>,
  interfaces: NonNullable<Result['interfaces']>,
  isWanted: (found: NonNullable<Result['interfaces']>[number]) => boolean,
): string[] {
  return ips
    .filter(({ interface: index }) => {
      const found = interfaces[index ?? -1];
      return found === undefined || isWanted(found);
    })
    .map((ip) => ip.address);
}

function checked<T>(schema: z.ZodType<T>, raw: JsonObject): T {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CniResultError(`the result has a wrong ${issue?.path.join('.') ?? 'field'}`);
}
