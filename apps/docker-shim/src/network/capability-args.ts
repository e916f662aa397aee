import { Protocol } from '@stowage/cri-proto';
import { InvalidArgumentError } from '@stowage/errors';
import { allowedBitRate, parseBitRate } from './bit-rate';
import type { JsonObject } from './cni-config';
import type { RemovedPod } from './pod-network';

/** What a plugin with a capability is told of a pod, by the capability's name. */
export type CapabilityArgs = JsonObject;

/** Bits that may pass at once: so many that only the rate limits. */
const burst = 2 ** 31 - 1;

/** Comes first in CNI_ARGS: plugins ignore what they do not know of the rest. */
const ignoreUnknown = ['IgnoreUnknown', '1'] as const;

/** Names and values in CNI_ARGS, in order. */
export type CniArgs = readonly (readonly [string, string])[];

/**
 * CNI_ARGS of a pod.
 *
 * @throws {InvalidArgumentError} for a name that would be read as another argument.
 */
export function cniArgs(
  pod: Pick<RemovedPod, 'sandboxId' | 'name' | 'namespace' | 'uid'>,
): CniArgs {
  for (const field of ['namespace', 'name', 'uid'] as const) {
    if (/[;\0]/.test(pod[field])) {
      throw new InvalidArgumentError(`metadata.${field}`, pod[field], 'a text without ; and NUL');
    }
  }
  return [
    ignoreUnknown,
    ['K8S_POD_NAMESPACE', pod.namespace],
    ['K8S_POD_NAME', pod.name],
    ['K8S_POD_INFRA_CONTAINER_ID', pod.sandboxId],
    ['K8S_POD_UID', pod.uid],
  ];
}

/**
 * What plugins can be told of a pod. What it does not have is not there.
 *
 * @param podCidrs ranges of the node's pods.
 * @throws {InvalidArgumentError} for a bandwidth that is no quantity, or not a sensible one.
 */
export function capabilityArgs(
  { portMappings, annotations, dns }: Pick<RemovedPod, 'portMappings' | 'annotations' | 'dns'>,
  podCidrs: readonly string[],
): CapabilityArgs {
  const published = portMappings
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ hostPort, containerPort, protocol, hostIp }) => ({
      hostPort,
      containerPort,
      protocol: protocolName(protocol),
      hostIP: hostIp,
    }));
  const ingress = bitRate(annotations, 'kubernetes.io/ingress-bandwidth');
  const egress = bitRate(annotations, 'kubernetes.io/egress-bandwidth');
  const all: Record<string, object | undefined> = {
    portMappings: published.length === 0 ? undefined : published,
    bandwidth:
      ingress === undefined && egress === undefined
        ? undefined
        : {
            ingressRate: ingress,
            ingressBurst: ingress && burst,
            egressRate: egress,
            egressBurst: egress && burst,
          },
    ipRanges: podCidrs.length === 0 ? undefined : podCidrs.map((subnet) => [{ subnet }]),
    dns: dns && { servers: dns.servers, searches: dns.searches, options: dns.options },
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function protocolName(protocol: Protocol): string {
  switch (protocol) {
    case Protocol.TCP:
      return 'tcp';
    case Protocol.UDP:
      return 'udp';
    case Protocol.SCTP:
      return 'sctp';
    default:
      throw new InvalidArgumentError('port_mappings.protocol', protocol, 'TCP, UDP, SCTP');
  }
}

function bitRate(annotations: Readonly<Record<string, string>>, key: string): number | undefined {
  const text = annotations[key];
  if (text === undefined) return undefined;
  const rate = parseBitRate(text);
  if (rate === undefined) throw new InvalidArgumentError(`annotation ${key}`, text, allowedBitRate);
  return rate;
}
