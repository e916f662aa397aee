import { Protocol, type PortMapping } from '@stowage/cri-proto';
import * as z from 'zod';

/** What is remembered of a sandbox in a file of its own, in case its container vanishes. */
export interface Checkpoint {
  readonly name: string;
  readonly namespace: string;
  readonly hostNetwork: boolean;
  readonly portMappings: readonly PortMapping[];
}

/** Names of protocols in the file, and in the engine's API. */
const protocolNames = new Map<Protocol, string>([
  [Protocol.TCP, 'tcp'],
  [Protocol.UDP, 'udp'],
  [Protocol.SCTP, 'sctp'],
]);

const fileOf = z.object({
  name: z.string().min(1),
  namespace: z.string().default(''),
  data: z
    .object({
      port_mappings: z
        .array(
          z
            .object({
              protocol: z.string().nullish(),
              container_port: z.int().nullish(),
              host_port: z.int().nullish(),
              host_ip: z.string().nullish(),
            })
            .nullable(),
        )
        .nullish(),
      host_network: z.boolean().nullish(),
    })
    .nullish(),
});

/** The checkpoint as cri-dockerd, and dockershim before it, write theirs. */
export function checkpointText(checkpoint: Checkpoint): string {
  const { name, namespace, hostNetwork, portMappings } = checkpoint;
  const data = {
    port_mappings: portMappings.length === 0 ? undefined : portMappings.map(portInFile),
    host_network: hostNetwork ? true : undefined,
  };
  return JSON.stringify({ version: 'v1', name, namespace, data, checksum: checksum(checkpoint) });
}

const portInFile = ({ protocol, containerPort, hostPort, hostIp }: PortMapping) => ({
  protocol: protocolName(protocol),
  container_port: containerPort,
  host_port: hostPort,
  host_ip: hostIp === '' ? undefined : hostIp,
});

/**
 * Reads a checkpoint of whoever wrote it. The checksum does not count: a file that says whose it is
 * is better than none.
 *
 * @throws when it is no JSON, or has no name.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const { name, namespace, data } = fileOf.parse(JSON.parse(text));
  const portMappings: PortMapping[] = [];
  for (const port of data?.port_mappings ?? []) {
    if (port == null) continue;
    portMappings.push({
      protocol: protocolNamed(port.protocol ?? ''),
      containerPort: port.container_port ?? 0,
      hostPort: port.host_port ?? 0,
      hostIp: port.host_ip ?? '',
    });
  }
  return { name, namespace, hostNetwork: data?.host_network ?? false, portMappings };
}

/**
 * The checksum that cri-dockerd demands of a file it is to read: FNV-1a of 32 bits over the text
 * which the Go library go-spew prints for the data.
 */
export function checksum(data: Pick<Checkpoint, 'hostNetwork' | 'portMappings'>): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(spewText(data))) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0;
}

/** @internal */
export function spewText({
  hostNetwork,
  portMappings,
}: Pick<Checkpoint, 'hostNetwork' | 'portMappings'>): string {
  const ports = portMappings.map(
    ({ protocol, containerPort, hostPort, hostIp }) =>
      `<*>{Protocol:(*config.Protocol)${protocolName(protocol)} ` +
      `ContainerPort:(*int32)${containerPort} HostPort:(*int32)${hostPort} ` +
      `HostIP:(string)${hostIp}}`,
  );
  const list = ports.length === 0 ? '<nil>' : `[${ports.join(' ')}]`;
  return (
    `(core.CheckpointData){PortMappings:([]*config.PortMapping)${list} ` +
    `HostNetwork:(bool)${hostNetwork}}`
  );
}

/** A number that is no protocol counts as TCP. */
export const protocolName = (protocol: Protocol): string => protocolNames.get(protocol) ?? 'tcp';

const protocolNamed = (name: string): Protocol => {
  if (name === 'udp') return Protocol.UDP;
  return name === 'sctp' ? Protocol.SCTP : Protocol.TCP;
};
