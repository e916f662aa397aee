import type { FlagDefinition } from './define';

/** Flags of every command. */
export const outputFlags: readonly FlagDefinition[] = [
  {
    name: 'output',
    short: 'o',
    value: 'FORMAT',
    help: 'table (default), wide, json or yaml',
    choices: ['table', 'wide', 'json', 'yaml'],
  },
  { name: 'no-color', help: 'no colours; as the variable NO_COLOR' },
  { name: 'help', short: 'h', help: 'print the help of the command' },
];

/** Flags of every command that asks services. */
export const reachFlags: readonly FlagDefinition[] = [
  { name: 'node', value: 'A,B', help: 'ask these nodes, over NATS' },
  { name: 'all', help: 'ask every node that has published events, over NATS' },
  { name: 'context', value: 'NAME', help: 'take servers and login from this context' },
  { name: 'server', value: 'URL,URL', help: 'NATS servers' },
  { name: 'creds', value: 'FILE', help: 'NATS credentials file (JWT and seed)' },
  { name: 'nkey', value: 'FILE', help: 'file with an nkey seed' },
  { name: 'tls-ca', value: 'FILE', help: 'CA that signed the certificates of the servers' },
  { name: 'tls-cert', value: 'FILE', help: 'client certificate; with --tls-key' },
  { name: 'tls-key', value: 'FILE', help: 'key of the client certificate' },
  { name: 'inbox-prefix', value: 'TEXT', help: 'prefix of reply subjects that the login may use' },
  { name: 'sockets', value: 'DIR', help: 'folder of the local sockets (default /run/stowage)' },
  { name: 'timeout', value: 'TIME', help: 'longest wait for one answer, as in 30s (default 10s)' },
];
