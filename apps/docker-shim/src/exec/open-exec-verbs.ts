import { StreamingServer, type StreamingSessionListener } from '@stowage/cri-streaming';
import { errorMessage } from '@stowage/errors';
import { parseListenAddress, type Logger } from '@stowage/service-kit';
import type { ShimConfig } from '../config';
import type { EngineConnection } from '../engine/engine-connection';
import { ExecVerbs } from './exec-verbs';
import type { ExecListener, RunningThings } from './running-things';

export interface OpenExecVerbsParts {
  readonly config: Pick<
    ShimConfig,
    | 'streamingAddress'
    | 'streamingTlsCert'
    | 'streamingTlsKey'
    | 'streamingIdleTimeoutMs'
    | 'streamingMaxSessions'
    | 'execOrphanGraceMs'
  >;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly connection: Pick<EngineConnection, 'engine'>;
  readonly things: RunningThings;
  readonly metrics: { readonly streaming: StreamingSessionListener; readonly exec: ExecListener };
}

/** Opens the streaming server that the configuration describes, and what runs on it. */
export async function openExecVerbs(parts: OpenExecVerbsParts): Promise<ExecVerbs> {
  const { config, log, connection, things, metrics } = parts;
  const address = parseListenAddress(config.streamingAddress);
  if (address?.kind !== 'tcp') throw new Error('streamingAddress is no TCP address');
  const { streamingTlsCert: certFile, streamingTlsKey: keyFile } = config;
  const server = await StreamingServer.listen({
    host: address.host,
    port: address.port,
    tls: certFile === '' ? undefined : { certFile, keyFile },
    idleTimeoutMs: config.streamingIdleTimeoutMs,
    maxSessions: config.streamingMaxSessions,
    listener: metrics.streaming,
    onTlsProblem: (error) =>
      log.warn(
        { error: errorMessage(error) },
        'certificate of the streaming server cannot be read again; the old one stays in use',
      ),
  });
  const { address: host, port } = server.address;
  log.info({ host, port }, 'serving exec, attach and port-forward');
  const { execOrphanGraceMs: orphanGraceMs } = config;
  return new ExecVerbs({ connection, things, server, orphanGraceMs, listener: metrics.exec });
}
