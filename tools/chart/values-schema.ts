import { describeKeys, type DescribedConfig, type DescribedKey } from '@stowage/service-kit';
import * as z from 'zod';
import type { DescribedValue } from './values-comments';

/** A JSON Schema (draft 7). */
export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * Keys of the configuration that the chart sets itself, from other values and from what it mounts.
 */
export const chartKeys: ReadonlySet<string> = new Set([
  'nodeName',
  'runtimeEndpoint',
  'imageEndpoint',
  'httpAddr',
  'stateDir',
  'natsServers',
  'natsCreds',
  'natsNkeySeed',
  'natsTlsCa',
  'natsTlsCert',
  'natsTlsKey',
  'listen',
  'commandSocket',
  'takeOver',
  'takeOverDrain',
  'hostRoot',
  'collect',
  'pullSecretsDir',
  'imageCredentialProviderConfig',
  'imageCredentialProviderBinDir',
  'stopTimeout',
]);

const text = { type: 'string' };
const labelMap = { type: 'object', additionalProperties: text };
const nonEmpty = { type: 'string', minLength: 1 };
const dnsName = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';
const strict = (properties: Record<string, unknown>, required: string[] = []): JsonSchema => ({
  type: 'object',
  additionalProperties: false,
  properties,
  ...(required.length > 0 && { required }),
});
const quantity = {
  anyOf: [
    { type: 'number', minimum: 0 },
    { type: 'string', pattern: '^[0-9]' },
  ],
};
const quantities = strict({ cpu: quantity, memory: quantity, 'ephemeral-storage': quantity });
const selector = strict({
  matchLabels: labelMap,
  matchExpressions: {
    type: 'array',
    items: strict({ key: nonEmpty, operator: nonEmpty, values: { type: 'array', items: text } }, [
      'key',
      'operator',
    ]),
  },
});
const peer = strict({
  namespaceSelector: selector,
  podSelector: selector,
  ipBlock: strict({ cidr: nonEmpty, except: { type: 'array', items: nonEmpty } }, ['cidr']),
});
const ports = {
  type: 'array',
  items: strict({
    port: { type: ['integer', 'string'] },
    endPort: { type: 'integer' },
    protocol: { enum: ['TCP', 'UDP', 'SCTP'] },
  }),
};
const list = (items: JsonSchema): JsonSchema => ({ type: 'array', items });
const nameSchema = (isRequired: boolean): JsonSchema => ({
  type: 'string',
  pattern: isRequired ? `^${dnsName}$` : `^(${dnsName})?$`,
});

/** What a rule in a comment allows, by its word. */
const fragments: Readonly<Record<string, (rest: string) => JsonSchema>> = {
  allowed: (rest) => ({
    enum: rest.split(',').map((word) => word.trim().replace(/^"(.*)"$/, '$1')),
  }),
  pattern: (rest) => ({ type: 'string', pattern: rest }),
  path: (rest) => ({ type: 'string', pattern: rest === 'required' ? '^/.' : '^(/.*)?$' }),
  name: () => nameSchema(false),
  names: () => ({ ...list(nameSchema(true)), uniqueItems: true }),
  digest: () => ({ type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' }),
  urls: () => list({ type: 'string', pattern: '^(nats|tls)://[^@\\s/]+$' }),
  labels: () => labelMap,
  affinity: () => strict({ nodeAffinity: {}, podAffinity: {}, podAntiAffinity: {} }),
  resources: () => strict({ requests: quantities, limits: quantities }),
  nodes: () => ({
    anyOf: [
      { type: 'integer', minimum: 1 },
      { type: 'string', pattern: '^([1-9][0-9]?|100)%$' },
    ],
  }),
  groups: () => list({ type: 'integer', minimum: 0 }),
  tolerations: () =>
    list(
      strict({
        key: text,
        operator: { enum: ['Exists', 'Equal'] },
        value: text,
        effect: { enum: ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] },
        tolerationSeconds: { type: 'integer' },
      }),
    ),
  environment: () =>
    list(
      strict(
        {
          name: { type: 'string', pattern: '^[A-Za-z_][A-Za-z0-9_]*$' },
          value: text,
          valueFrom: { type: 'object' },
        },
        ['name'],
      ),
    ),
  peers: () => list(peer),
  egress: () => list(strict({ to: list(peer), ports })),
};

/** The schema of values.yaml: types come from the defaults, what is allowed from the comments. */
export function valuesSchema(
  values: readonly DescribedValue[],
  definitions: readonly DescribedConfig[],
): JsonSchema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart stowage',
    ...mapping(values, definitions),
  };
}

const mapping = (
  values: readonly DescribedValue[],
  definitions: readonly DescribedConfig[],
): JsonSchema => ({
  type: 'object',
  additionalProperties: false,
  properties: {
    ...Object.fromEntries(values.map((value) => [value.name, schemaOf(value, definitions)])),
  },
});

function schemaOf(value: DescribedValue, definitions: readonly DescribedConfig[]): JsonSchema {
  const description = value.meaning === '' ? {} : { description: value.meaning };
  if (value.children !== undefined) {
    return { ...description, ...mapping(value.children, definitions) };
  }
  let schema: JsonSchema | undefined;
  for (const [word, rest] of value.rules) {
    if (word === 'config') schema = configSchema(keysFor(rest, definitions));
    else if (word === 'minimum' || word === 'maximum') {
      schema = { type: 'integer', ...schema, [word]: Number(rest) };
    } else {
      const fragment = fragments[word];
      if (fragment === undefined)
        throw new Error(`values.yaml: ${value.path} has the rule @${word}, which is none`);
      schema = fragment(rest);
    }
  }
  if (schema === undefined) {
    const type = typeof value.value;
    if (type !== 'string' && type !== 'boolean' && type !== 'number') {
      throw new Error(`values.yaml: ${value.path} needs a rule that says what it may have`);
    }
    schema = { type };
  }
  return { ...description, ...schema };
}

/**
 * Keys of the configuration that a value may have: those of one app, or with `all` those that every
 * app shares.
 */
export function keysFor(which: string, definitions: readonly DescribedConfig[]): DescribedKey[] {
  const free = (definition: DescribedConfig) =>
    describeKeys(definition).filter(({ yaml }) => !chartKeys.has(yaml));
  if (which !== 'all') {
    const definition = definitions.find(({ app }) => app === which);
    if (definition === undefined) throw new Error(`values.yaml: there is no app ${which}`);
    return free(definition);
  }
  const [first, ...others] = definitions.map(free);
  return (first ?? []).filter(
    ({ yaml, key }) =>
      key.scope === 'node' && others.every((keys) => keys.some((other) => other.yaml === yaml)),
  );
}

function configSchema(keys: readonly DescribedKey[]): JsonSchema {
  return strict(
    Object.fromEntries(
      keys.map(({ yaml, key, defaultText }) => {
        const description = `${key.meaning} Allowed: ${key.allowed}. Default: ${defaultText}.`;
        return [yaml, { description, ...inputOf(key.schema) }];
      }),
    ),
  );
}

/**
 * What a key takes in a file, as far as a schema can say; the service itself checks the rest when
 * it starts.
 */
function inputOf(schema: z.ZodType): JsonSchema {
  const options = { io: 'input', target: 'draft-7', unrepresentable: 'any' } as const;
  const fields = Object.entries(z.toJSONSchema(schema, options));
  // Which draft it is stands at the top of the whole schema.
  return Object.fromEntries(fields.filter(([name]) => name !== '$schema'));
}
