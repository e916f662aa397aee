import { readFileSync } from 'node:fs';
import path from 'node:path';
import { errorMessage, nearest } from '@stowage/errors';
import { sizeText } from '@stowage/status-view';
import type { Call, GivenFlags } from '../command-line/define';
import { CommandFailure, UsageError } from '../failures';
import { KeyFolder, type UserKey } from '../nats-users/key-folder';
import { nodeNamesOf } from '../nats-users/node-list';
import { serverConfig } from '../nats-users/roles';
import { maxSecretBytes, secretBytes, secretManifest } from '../nats-users/secret-manifest';
import { userRole, userText, type NatsUser } from '../nats-users/user';

interface WrittenUser extends NatsUser {
  readonly key: UserKey;
}

/**
 * `stowctl nats users`: an nkey for every node, and what the server and Kubernetes need to know of
 * them. Run again, it makes keys for nodes that have none and leaves the others as they are.
 */
export async function natsUsers(call: Call): Promise<number> {
  const { flags, out } = call;
  const folder = path.resolve(flags.text('out') ?? 'nats-users');
  const keys = new KeyFolder(folder);
  const nodes = nodesOf(flags).map((name): NatsUser => ({ kind: 'node', name }));
  // The file names all nodes. For the others a key that is there is enough.
  const users = [...nodes, ...others(keys, flags, 'operator'), ...others(keys, flags, 'consumer')];
  const roles = new Map(users.map((user) => [userText(user), userRole(user)]));
  const rotated = rotatedUsers(flags, users);
  const namespace = kubernetesName(flags, 'namespace', 'stowage');
  const name = kubernetesName(flags, 'secret-name', 'stowage-nats');
  const written = users.map((user): WrittenUser => {
    const isRotated = flags.has('force') || rotated.has(userText(user));
    return { ...user, key: keys.key(user, { isRotated }) };
  });
  const seeds = new Map(
    written.flatMap(({ kind, name: node, key }) =>
      kind === 'node' ? [[node, key.seed] as const] : [],
    ),
  );
  const withKeys = written.flatMap((user) => {
    const role = roles.get(userText(user));
    return role === undefined ? [] : [{ ...role, nkey: user.key.publicKey }];
  });
  const config = keys.write('accounts.conf', `${configHead}${serverConfig(withKeys)}`);
  const secret = keys.write('secret.yaml', secretManifest({ namespace, name, seeds }));
  await show(call, written, { config, secret });
  const left = keys.users('node').filter(({ name: node }) => !seeds.has(node));
  if (left.length > 0) {
    const list = left.map(({ name: node }) => node).join(', ');
    out.note(`not in the list, so without access from now on: ${list}; their keys are still there`);
  }
  const size = secretBytes(seeds);
  if (size > maxSecretBytes) {
    out.note(`the Secret has ${sizeText(size)}, Kubernetes takes ${sizeText(maxSecretBytes)}`);
    return 1;
  }
  return 0;
}

const configHead = `# Written by stowctl nats users; public keys alone. Include it in the server's configuration.\n`;

function nodesOf(flags: GivenFlags): string[] {
  const file = flags.text('nodes-from');
  if (file === undefined) {
    throw new UsageError(
      'nats users needs the names of the nodes',
      'add --nodes-from FILE, or - for stdin: kubectl get nodes -o name | stowctl nats users --nodes-from -',
    );
  }
  const source = file === '-' ? 'stdin' : file;
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new CommandFailure(`${source} cannot be read: ${errorMessage(error)}`);
  }
  const names = nodeNamesOf(text, source);
  // An empty list would take every node's access away.
  if (names.length === 0) throw new CommandFailure(`${source} names no node`);
  return names;
}

function others(keys: KeyFolder, flags: GivenFlags, kind: 'operator' | 'consumer'): NatsUser[] {
  const named = (flags.text(kind)?.split(',') ?? []).map((name) => ({ kind, name: name.trim() }));
  const all = new Map([...keys.users(kind), ...named].map((user) => [user.name, user]));
  return [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Users whose key is to be replaced. */
function rotatedUsers(flags: GivenFlags, users: readonly NatsUser[]): Set<string> {
  const known = users.map(userText);
  const names = flags.text('rotate')?.split(',') ?? [];
  for (const name of names) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    throw new UsageError(
      `--rotate: there is no user ${JSON.stringify(name)}`,
      near === undefined ? undefined : `the nearest is ${near.name}`,
    );
  }
  return new Set(names);
}

function kubernetesName(flags: GivenFlags, flag: string, otherwise: string): string {
  const name = flags.text(flag) ?? otherwise;
  if (/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) return name;
  throw new UsageError(
    `--${flag} ${JSON.stringify(name)} is no name in Kubernetes`,
    'lower-case letters, digits, "-" and "."',
  );
}

async function show(
  { out }: Call,
  written: readonly WrittenUser[],
  { config, secret }: { config: string; secret: string },
): Promise<void> {
  await out.show({
    // Without the seeds, which are in the files alone.
    data: {
      users: written.map(({ kind, name, key }) => ({
        kind,
        name,
        publicKey: key.publicKey,
        state: key.state,
        file: key.file,
      })),
      serverConfig: config,
      secretManifest: secret,
    },
    tables: [
      {
        columns: [
          { title: 'KIND' },
          { title: 'NAME' },
          { title: 'KEY' },
          { title: 'PUBLIC KEY' },
          { title: 'FILE', isWide: true },
        ],
        rows: written.map(({ kind, name, key }) => [
          kind,
          name,
          { text: key.state, tone: key.state === 'kept' ? 'dim' : 'good' },
          key.publicKey,
          key.file,
        ]),
      },
    ],
    notes: [
      `${config}: include it in the configuration of nats-server, then nats-server --signal reload`,
      `${secret}: kubectl apply -f, and mount the key of the pod's own node (docs/stowctl.md)`,
    ],
  });
}
