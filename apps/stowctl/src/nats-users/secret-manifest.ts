/** Kubernetes refuses larger Secrets; bytes of all keys and values. */
export const maxSecretBytes = 1024 * 1024;

/** A Secret with a seed under each node's name. */
export function secretManifest(options: {
  readonly namespace: string;
  readonly name: string;
  readonly seeds: ReadonlyMap<string, string>;
}): string {
  const { namespace, name, seeds } = options;
  return [
    '# Written by stowctl nats users. Whoever can read this can log in as every node of it.',
    'apiVersion: v1',
    'kind: Secret',
    'metadata:',
    `  name: ${JSON.stringify(name)}`,
    `  namespace: ${JSON.stringify(namespace)}`,
    'type: Opaque',
    seeds.size === 0 ? 'stringData: {}' : 'stringData:',
    ...[...seeds].map(([node, seed]) => `  ${JSON.stringify(node)}: ${seed}`),
    '',
  ].join('\n');
}

/** Size as Kubernetes counts it. */
export const secretBytes = (seeds: ReadonlyMap<string, string>): number =>
  [...seeds].reduce((sum, [node, seed]) => sum + node.length + seed.length, 0);
