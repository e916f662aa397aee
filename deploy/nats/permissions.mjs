#!/usr/bin/env node
// Prints NATS accounts, users and permissions for the roles around Stowage, as roles.cjs beside this
// file has them: `node deploy/nats/permissions.mjs --help`. Plain JavaScript.
import { parseArgs } from 'node:util';
import { consumerJson, nscCommands, roles, serverConfig, stream, streamJson } from './roles.cjs';

const formats = ['conf', 'nsc', 'stream', 'consumer'];

const help = `usage: node deploy/nats/permissions.mjs [--node NODE]... [--consumer NAME]... [--operator NAME]... [--discovery] [--format ${formats.join('|')}]

Prints a NATS account with a user for the services of each node and for each consumer, and one account for the streams and
all operators: as an accounts block of the server configuration (conf, the default) or as a shell script of nsc commands.
With --discovery operators find the services of all nodes at once, by \$SRV. Servers on which an account may import a subject
from one account only refuse that: 2.9 does, 2.15 does not. Without it those of one node are found below stowage.srv.<node>.
--format stream prints the stream for "nats stream add --config", --format consumer --consumer NAME the durable consumer of
that name for "nats consumer add ${stream} --config". See deploy/nats/README.md.
`;

function main() {
  const list = { type: 'string', multiple: true };
  const { values } = parseArgs({
    options: {
      node: list,
      consumer: list,
      operator: list,
      discovery: { type: 'boolean', default: false },
      format: { type: 'string', default: 'conf' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return help;
  const json = (value) => `${JSON.stringify(value, undefined, 2)}\n`;
  if (!formats.includes(values.format)) {
    throw new Error(`--format: ${values.format} is not allowed; allowed: ${formats.join(', ')}`);
  }
  if (values.format === 'stream') return json(streamJson);
  if (values.format === 'consumer') {
    if (values.consumer?.length !== 1) throw new Error('--format consumer needs one --consumer');
    return json(consumerJson(values.consumer[0]));
  }
  const all = roles({
    nodes: values.node,
    consumers: values.consumer,
    operators: values.operator,
    isDiscovered: values.discovery,
  });
  if (all.length === 0) throw new Error('no --node, --consumer or --operator');
  return values.format === 'conf' ? serverConfig(all) : nscCommands(all);
}

try {
  process.stdout.write(main());
} catch (error) {
  process.stderr.write(`${error.message}\n${help}`);
  process.exitCode = 64;
}
