import os from 'node:os';
import { checkNodeName, splitNatsServers, SubjectError } from '@stowage/events';
import { parseSpan } from '@stowage/status-view';
import { UsageError } from '../failures';
import type { GivenFlags } from '../command-line/define';
import { chosenContext, readContexts, type ReachContext } from './contexts';
import { defaultSocketFolder, localTransport } from './local-transport';
import type { OpenOptions, Reach } from './reach';

const defaultTimeoutMs = 10_000;

/** Longest wait for one answer, milliseconds. */
export function timeoutOf(flags: GivenFlags): number {
  const text = flags.text('timeout');
  if (text === undefined) return defaultTimeoutMs;
  const timeoutMs = parseSpan(text);
  if (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > 2 ** 31 - 1) {
    throw new UsageError(
      `--timeout ${JSON.stringify(text)} is not a time`,
      'write it as 500ms, 30s, 5m or 1h30m',
    );
  }
  return timeoutMs;
}

/** Where and how, from the flags and the context that they or its file name. */
export async function reachContext(
  flags: GivenFlags,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ReachContext> {
  const named = flags.text('context');
  const isComplete = flags.has('server') || flags.has('sockets');
  const context =
    isComplete && named === undefined ? {} : (chosenContext(await readContexts(env), named) ?? {});
  const text = (flag: string, fallback?: string) => flags.text(flag) ?? fallback;
  const server = flags.text('server');
  // Another login replaces the one of the context.
  const hasLogin = flags.has('creds') || flags.has('nkey');
  return {
    ...context,
    servers: server === undefined ? context.servers : splitNatsServers(server),
    creds: text('creds', hasLogin ? undefined : context.creds),
    nkey: text('nkey', hasLogin ? undefined : context.nkey),
    tlsCa: text('tls-ca', context.tlsCa),
    tlsCert: text('tls-cert', context.tlsCert),
    tlsKey: text('tls-key', context.tlsKey),
    inboxPrefix: text('inbox-prefix', context.inboxPrefix),
    sockets: text('sockets', context.sockets),
  };
}

/** What the NATS client needs of a context. */
export function natsOptionsOf(context: ReachContext) {
  const { servers = [], creds, nkey, tlsCa, tlsCert, tlsKey, inboxPrefix } = context;
  const hasTls = tlsCa !== undefined || tlsCert !== undefined || tlsKey !== undefined;
  return {
    servers,
    credsFile: creds,
    nkeySeedFile: nkey,
    inboxPrefix,
    ...(hasTls && { tls: { caFile: tlsCa, certFile: tlsCert, keyFile: tlsKey } }),
  };
}

/** Opens the way that the flags and the context name. */
export async function openReach(
  flags: GivenFlags,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
  { isLocalPreferred = false, isLasting = false }: OpenOptions = {},
): Promise<Reach> {
  const timeoutMs = timeoutOf(flags);
  const listed = flags.text('node')?.split(',');
  if (listed !== undefined && flags.has('all')) {
    throw new UsageError('--node and --all exclude each other');
  }
  for (const node of listed ?? []) checkedNode(node);
  const context = await reachContext(flags, env);
  const { servers = [], sockets } = context;
  const isUnsaid = listed === undefined && !flags.has('all');
  if (servers.length === 0 || (isLocalPreferred && isUnsaid)) {
    if (listed !== undefined || flags.has('all')) {
      throw new UsageError(
        '--node and --all go over NATS, and no server is known',
        'add --server nats://HOST:4222, or a context with servers',
      );
    }
    const folder = sockets ?? defaultSocketFolder;
    const transport = localTransport({ folder, timeoutMs, signal });
    const nodes = await transport.allNodes().catch((error: unknown) => {
      if (!isLocalPreferred) throw error;
      return [os.hostname().trim().toLowerCase()];
    });
    return { kind: 'local', transport, nodes };
  }
  const nodes = listed ?? (flags.has('all') ? [] : (context.nodes ?? []));
  if (nodes.length === 0 && !flags.has('all')) {
    throw new UsageError('which nodes?', 'add --node A,B or --all, or nodes to the context');
  }
  const { natsTransport } = await import('./nats-transport');
  const options = { ...natsOptionsOf(context), timeoutMs, isLasting, signal };
  const transport = await natsTransport(options);
  try {
    return {
      kind: 'nats',
      transport,
      nodes: nodes.length > 0 ? [...new Set(nodes)] : await transport.allNodes(),
    };
  } catch (error) {
    await transport.close();
    throw error;
  }
}

function checkedNode(node: string): void {
  try {
    checkNodeName(node);
  } catch (error) {
    if (!(error instanceof SubjectError)) throw error;
    throw new UsageError(`--node: ${error.message}`);
  }
}
