#!/usr/bin/env node
// Prints NATS permissions for the roles around Stowage: `node deploy/nats/permissions.mjs --help`. Plain JavaScript.
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const stream = 'STOWAGE_EVENTS';

/** A node name as one subject token: dots become `_`. The rule is libs/events' `subjectToken`. */
function token(node) {
  const label = '[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?';
  if (node.length > 253 || !new RegExp(`^${label}(\\.${label})*$`).test(node)) {
    throw new Error(`node ${JSON.stringify(node)} is not a node name`);
  }
  return node.replaceAll('.', '_');
}

function checkName(role, name) {
  if (!/^[a-z0-9][a-z0-9-]{0,31}$/.test(name)) {
    throw new Error(
      `${role} ${JSON.stringify(name)} is not a name: lower-case letters, digits and "-"`,
    );
  }
  return name;
}

/** The services of one node: publish its events, answer its commands, read its own events. */
export function servicePermissions(node) {
  const name = token(node);
  return {
    publish: [
      `stowage.event.${name}.>`,
      `$JS.API.STREAM.INFO.${stream}`,
      `$JS.API.STREAM.CREATE.${stream}`,
    ],
    subscribe: [`stowage.event.${name}.>`, `stowage.cmd.${name}.>`, '_INBOX.>'],
    // Replies to commands, and to nobody else.
    allowResponses: true,
  };
}

/** A service of the platform that reads events, through durable consumers of its own making. */
export function consumerPermissions(name) {
  checkName('consumer', name);
  return {
    publish: [
      '$JS.API.INFO',
      `$JS.API.STREAM.INFO.${stream}`,
      // Named and filtered consumers (nats-server 2.9 and later), and the older request of durable ones.
      `$JS.API.CONSUMER.CREATE.${stream}.${name}.>`,
      `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.${name}`,
      `$JS.API.CONSUMER.INFO.${stream}.${name}`,
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`,
      `$JS.ACK.${stream}.${name}.>`,
      // What it could not handle.
      `stowage.dead-letter.${name}.>`,
    ],
    subscribe: [`_INBOX_${name}.>`],
    allowResponses: false,
  };
}

/** People and tools that send commands and look after the stream. */
export function operatorPermissions(name) {
  checkName('operator', name);
  return {
    publish: ['stowage.cmd.>', '$JS.API.>', `$JS.ACK.${stream}.>`],
    subscribe: ['stowage.event.>', 'stowage.dead-letter.>', `_INBOX_${name}.>`],
    allowResponses: false,
  };
}

/** All users that were asked for. */
export function users({ nodes = [], consumers = [], operators = [] }) {
  return [
    ...nodes.map((node) => ({
      user: `service-${token(node)}`,
      permissions: servicePermissions(node),
    })),
    ...consumers.map((name) => ({
      user: `consumer-${name}`,
      permissions: consumerPermissions(name),
    })),
    ...operators.map((name) => ({
      user: `operator-${name}`,
      permissions: operatorPermissions(name),
    })),
  ];
}

/** Name of the environment variable that holds a user's password (or its bcrypt hash). */
export const passwordVariable = (user) =>
  `STOWAGE_PASSWORD_${user.replaceAll('-', '_').toUpperCase()}`;

/** The `authorization` block of a server configuration; passwords come from the server's environment. */
export function serverConfig(list) {
  const quoted = (subjects) => subjects.map((subject) => JSON.stringify(subject)).join(', ');
  const blocks = list.map(({ user, permissions }) =>
    [
      '    {',
      `      user: ${JSON.stringify(user)}`,
      `      password: $${passwordVariable(user)}`,
      '      permissions: {',
      `        publish: { allow: [${quoted(permissions.publish)}] }`,
      `        subscribe: { allow: [${quoted(permissions.subscribe)}] }`,
      ...(permissions.allowResponses ? ['        allow_responses: true'] : []),
      '      }',
      '    }',
    ].join('\n'),
  );
  return ['authorization {', '  users: [', ...blocks, '  ]', '}', ''].join('\n');
}

/** The same as commands of nsc, for servers with decentralised accounts; run in the account of the events. */
export function nscCommands(list) {
  const option = (name, subjects) => `--${name} '${subjects.join(',')}'`;
  return list
    .map(({ user, permissions }) =>
      [
        `nsc add user --name ${user}`,
        option('allow-pub', permissions.publish),
        option('allow-sub', permissions.subscribe),
        ...(permissions.allowResponses ? ['--allow-pub-response'] : []),
      ].join(' '),
    )
    .join('\n')
    .concat('\n');
}

const help = `usage: node deploy/nats/permissions.mjs [--node NODE]... [--consumer NAME]... [--operator NAME]... [--format conf|nsc]

Prints a NATS user for the services of each node, for each consumer and for each operator: as an authorization block of
the server configuration (conf, the default) or as nsc commands. See deploy/nats/README.md.
`;

function main() {
  const list = { type: 'string', multiple: true };
  const { values } = parseArgs({
    options: {
      node: list,
      consumer: list,
      operator: list,
      format: { type: 'string', default: 'conf' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return help;
  const all = users({
    nodes: values.node,
    consumers: values.consumer,
    operators: values.operator,
  });
  if (all.length === 0) throw new Error('no --node, --consumer or --operator');
  if (values.format === 'conf') return serverConfig(all);
  if (values.format === 'nsc') return nscCommands(all);
  throw new Error(`--format: ${values.format} is not allowed; allowed: conf, nsc`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    process.stdout.write(main());
  } catch (error) {
    process.stderr.write(`${error.message}\n${help}`);
    process.exitCode = 64;
  }
}
