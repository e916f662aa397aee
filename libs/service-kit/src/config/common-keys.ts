import os from 'node:os';
import path from 'node:path';
import { commandSocketPath } from '@stowage/commands';
import { parseNatsServer, splitNatsServers, withoutNatsLogin } from '@stowage/events';
import * as z from 'zod';
import {
  booleanKey,
  byteSizeKey,
  dirsKey,
  durationKey,
  endpointKey,
  enumKey,
  integerKey,
  key,
  listenAddressKey,
  listKey,
  pathKey,
  socketPathKey,
  stringKey,
  type ConfigKey,
} from './config-key';

const nodeNamePattern =
  /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const dayMs = 86_400_000;

const natsServer = z.string().refine((text) => parseNatsServer(text) !== undefined);

/** Path of the app's own CRI socket. */
export function listenKey(defaultPath: string): ConfigKey<string> {
  return socketPathKey({ default: defaultPath, meaning: "The app's CRI socket." });
}

/** The keys of an app whose sockets a newer instance can take over. */
export function takeOverKeys() {
  return {
    takeOver: booleanKey({
      default: false,
      meaning:
        'Take the sockets over from a running instance, which then lets its calls end and stops. For upgrades without a failed call.',
    }),
    takeOverDrainMs: durationKey({
      default: 4 * 3_600_000,
      minMs: 0,
      maxMs: 7 * dayMs,
      meaning:
        'How long calls in flight may go on after another instance has taken the sockets over; then they get UNAVAILABLE.',
    }),
  };
}

/** A folder below the user's home; none where neither HOME nor the list of users has one. */
function home(...folder: string[]): string[] {
  try {
    return [path.join(os.homedir(), ...folder)];
  } catch {
    return [];
  }
}

/**
 * The keys of an app that reads Docker's files of credentials, where kubelet looks for them.
 *
 * @param credentials what they are to the app, for the text of the key.
 */
export function dockerConfigKeys(credentials: string) {
  return {
    dockerConfigDirs: dirsKey({
      default: () => ['/var/lib/kubelet', ...home('.docker'), '/.docker'],
      defaultText: '/var/lib/kubelet,$HOME/.docker,/.docker',
      meaning: `Folders searched for config.json with ${credentials}; the first file that decodes is used.`,
    }),
    dockercfgDirs: dirsKey({
      default: () => ['/var/lib/kubelet', ...home(), '/'],
      defaultText: '/var/lib/kubelet,$HOME,/',
      meaning: 'Folders searched for .dockercfg where no config.json was found.',
    }),
  };
}

/**
 * The keys that every app has. `httpAddr` is the app's default address for metrics and health;
 * `commands` are the NATS commands the app answers unless configured otherwise, `allCommands` those
 * it knows.
 */
export function commonKeys(options: {
  httpAddr: string;
  commands: readonly string[];
  allCommands: readonly string[];
}) {
  return {
    nodeName: stringKey({
      scope: 'node',
      default: ({ hostName }) => hostName.trim().toLowerCase(),
      defaultText: 'host name, in lower case',
      pattern: nodeNamePattern,
      allowed:
        'a DNS subdomain in lower case, at most 253 characters, as Kubernetes node names are',
      meaning: "The node's name in subjects and events.",
    }),
    runtimeEndpoint: endpointKey({
      scope: 'node',
      default: 'unix:///run/containerd/containerd.sock',
      meaning: 'CRI socket of the container runtime.',
    }),
    imageEndpoint: endpointKey({
      scope: 'node',
      default: (context) => context.value('runtimeEndpoint') as string,
      defaultText: 'the runtime endpoint',
      meaning: "CRI socket of the runtime's image service, where it has one of its own.",
    }),
    natsServers: listKey({
      scope: 'node',
      default: ['nats://127.0.0.1:4222'],
      item: natsServer,
      none: 'none',
      allowed:
        'one or more of [nats|tls]://[user:password@]host[:port], separated by commas, or none',
      meaning:
        'NATS servers. While they are away events wait in the outbox; `none` (in the file also `[]`) is for nodes without NATS: events then stay on the node, where the command `events` has the last of them.',
      split: splitNatsServers,
      print: (servers) => servers.map((server) => withoutNatsLogin(server)),
      withoutSecrets: withoutNatsLogin,
    }),
    natsCreds: pathKey({
      scope: 'node',
      default: '',
      emptyAllowed: true,
      meaning: 'NATS credentials file (JWT and seed).',
    }),
    natsNkeySeed: pathKey({
      scope: 'node',
      default: '',
      emptyAllowed: true,
      meaning: 'File with an nkey seed to log in to NATS with; not with natsCreds.',
    }),
    natsTlsCa: pathKey({
      scope: 'node',
      default: '',
      emptyAllowed: true,
      meaning: 'CA certificates (PEM) that the NATS servers are checked against.',
    }),
    natsTlsCert: pathKey({
      scope: 'node',
      default: '',
      emptyAllowed: true,
      meaning: 'Client certificate (PEM) for NATS; needs natsTlsKey.',
    }),
    natsTlsKey: pathKey({
      scope: 'node',
      default: '',
      emptyAllowed: true,
      meaning: 'Key (PEM) of the client certificate for NATS; needs natsTlsCert.',
    }),
    streamManaged: booleanKey({
      scope: 'node',
      default: true,
      meaning:
        'Create the JetStream stream STOWAGE_EVENTS when it is absent; false leaves it to its operator.',
    }),
    streamMaxAgeMs: durationKey({
      scope: 'node',
      default: 7 * dayMs,
      minMs: 120_000,
      maxMs: 365 * dayMs,
      meaning: 'Age at which events leave the stream, where the suite creates it.',
    }),
    streamMaxBytes: byteSizeKey({
      scope: 'node',
      default: 2 ** 30,
      minBytes: 2 ** 20,
      maxBytes: 2 ** 40,
      meaning: 'Size of the stream, where the suite creates it; the oldest events leave first.',
    }),
    streamReplicas: integerKey({
      scope: 'node',
      default: 1,
      min: 1,
      max: 5,
      meaning: 'Copies of the stream in a NATS cluster, where the suite creates it.',
    }),
    outboxMaxEvents: integerKey({
      scope: 'node',
      default: 100_000,
      min: 100,
      max: 10_000_000,
      meaning:
        'Events that wait on disk for NATS at most; the oldest leave first, counted and told.',
    }),
    outboxMaxBytes: byteSizeKey({
      scope: 'node',
      default: 64 * 2 ** 20,
      minBytes: 2 ** 20,
      maxBytes: 16 * 2 ** 30,
      meaning: 'Bytes of events that wait on disk for NATS at most.',
    }),
    httpAddr: listenAddressKey({
      default: options.httpAddr,
      meaning:
        'Address of the status page (/), /metrics, /healthz and /readyz; port 0 lets the system choose.',
    }),
    stateDir: pathKey({
      default: ({ app }) => `/var/lib/stowage/${app}`,
      defaultText: '/var/lib/stowage/<app>',
      meaning: 'Folder of records and outbox; made when it is missing.',
    }),
    logLevel: enumKey({
      scope: 'node',
      values: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
      default: 'info',
      meaning: 'Least severe level that is logged, as JSON lines on stdout.',
    }),
    commands: key<readonly string[]>({
      schema: listKey({
        default: [],
        meaning: '',
        allowed: '',
        item: z.enum(options.allCommands as [string, ...string[]]),
      }).schema,
      default: options.commands,
      allowed: `a list of ${options.allCommands.join(', ')}; empty answers none`,
      meaning: 'NATS commands that are answered; all others are refused with PERMISSION_DENIED.',
    }),
    commandSocket: socketPathKey({
      default: ({ app }) => commandSocketPath(app),
      defaultText: commandSocketPath('<app>'),
      emptyAllowed: true,
      meaning:
        'Socket on which the app answers its commands on the node, also without NATS (HTTP with JSON; only for root and the user of the app); empty switches it off.',
    }),
    localCommands: enumKey({
      scope: 'node',
      values: ['all', 'listed'],
      default: 'all',
      meaning:
        'Commands that are answered on `commandSocket`: all that the app knows, or those that `commands` lists.',
    }),
    stopTimeoutMs: durationKey({
      scope: 'node',
      default: 20_000,
      minMs: 1000,
      maxMs: 600_000,
      meaning: 'A stop that takes longer ends the process with exit code 1.',
    }),
  };
}
