import { DNSConfig, PortMapping, Protocol } from '@stowage/cri-proto';
import { capabilityArgs, cniArgs } from './capability-args';

const pod = { sandboxId: 'abc', name: 'web-0', namespace: 'shop', uid: 'u-1' };
const nothing = { portMappings: [], annotations: {} };
const port = (fields: Partial<PortMapping>) => PortMapping.fromPartial(fields);

// D17
it('says who the pod is in the order that plugins expect, and that the rest is to be ignored', () => {
  expect(
    cniArgs(pod)
      .map((pair) => pair.join('='))
      .join(';'),
  ).toBe(
    'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1',
  );
});

it('refuses a name that would be read as another argument', () => {
  expect(() => cniArgs({ ...pod, name: 'a;K8S_POD_NAMESPACE=kube-system' })).toThrow(
    'metadata.name',
  );
});

it('of a pod without anything special nothing is said', () => {
  expect(capabilityArgs(nothing, [])).toEqual({});
});

it('ports of the host are mapped, ports without one are not', () => {
  const portMappings = [
    port({ protocol: Protocol.TCP, containerPort: 80, hostPort: 8080 }),
    port({ protocol: Protocol.UDP, containerPort: 53, hostPort: 53, hostIp: '192.0.2.1' }),
    port({ protocol: Protocol.SCTP, containerPort: 9, hostPort: 9, hostIp: '::1' }),
    port({ protocol: Protocol.TCP, containerPort: 81 }),
  ];
  expect(capabilityArgs({ ...nothing, portMappings }, [])).toEqual({
    portMappings: [
      { hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '' },
      { hostPort: 53, containerPort: 53, protocol: 'udp', hostIP: '192.0.2.1' },
      { hostPort: 9, containerPort: 9, protocol: 'sctp', hostIP: '::1' },
    ],
  });
});

it.each([
  [{ 'kubernetes.io/ingress-bandwidth': '1M' }, { ingressRate: 1e6, ingressBurst: 2147483647 }],
  [{ 'kubernetes.io/egress-bandwidth': '2M' }, { egressRate: 2e6, egressBurst: 2147483647 }],
  [
    { 'kubernetes.io/ingress-bandwidth': '1M', 'kubernetes.io/egress-bandwidth': '2M' },
    {
      ingressRate: 1e6,
      ingressBurst: 2147483647,
      egressRate: 2e6,
      egressBurst: 2147483647,
    },
  ],
])('bandwidth of %j', (annotations, bandwidth) => {
  expect(capabilityArgs({ ...nothing, annotations }, [])).toEqual({ bandwidth });
});

it.each(['many', '1', '2P'])('refuses the bandwidth %s', (rate) => {
  const annotations = { 'kubernetes.io/egress-bandwidth': rate };
  expect(() => capabilityArgs({ ...nothing, annotations }, [])).toThrow(
    `annotation kubernetes.io/egress-bandwidth: "${rate}" is not allowed; allowed: a quantity of bits per second from 1k to 1P`,
  );
});

it('each range of the node is a set of its own, so that a pod gets an address of each', () => {
  expect(capabilityArgs(nothing, ['10.1.0.0/24', 'fd00::/64'])).toEqual({
    ipRanges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00::/64' }]],
  });
});

it('name servers of the pod', () => {
  const dns = DNSConfig.fromPartial({
    servers: ['10.0.0.10'],
    searches: ['a'],
    options: ['ndots:5'],
  });
  expect(capabilityArgs({ ...nothing, dns }, [])).toEqual({
    dns: { servers: ['10.0.0.10'], searches: ['a'], options: ['ndots:5'] },
  });
});
