import { Module } from '@nestjs/common';
import { parseEndpoint } from '@stowage/cri-client';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import {
  checkBeforeTakeOver,
  observeGivenUp,
  provider,
  RUNTIME,
  runtimeProvider,
  token,
} from '@stowage/service-kit';
import type { ServiceContext } from '@stowage/service-kit';
import { CONTEXT } from './config';
import type { GatewayConfig } from './config';
import { callMetrics, connectionMetrics } from './metrics';
import { checkObjectsFile } from './objects/objects-file';
import { CriVersions, probeByVersion } from './sockets/cri-versions';
import { GatewaySockets } from './sockets/gateway-sockets';

export const SOCKETS = token<GatewaySockets>('GatewaySockets');
const CRI_VERSIONS = token<CriVersions>('CriVersions');

const runtime = runtimeProvider(CONTEXT);

const criVersions = provider(
  CRI_VERSIONS,
  [CONTEXT, RUNTIME],
  ({ config, signal }, client) =>
    new CriVersions(client, probeByVersion(parseEndpoint(config.runtimeEndpoint).address), signal),
  { close: (versions) => versions.close() },
);

const sockets = provider(SOCKETS, [CONTEXT, RUNTIME, CRI_VERSIONS], openSockets, {
  drain: (open, options) => open.close(options),
});

/**
 * With `takeOver` calls are served before the state directory is ours: the instance that has it
 * gives it up when it sees that its socket was taken. Nothing may keep this one from serving from
 * then on, so what can be wrong is checked before.
 */
async function openSockets(
  context: ServiceContext<GatewayConfig>,
  client: RuntimeServiceClient,
  versions: CriVersions,
): Promise<GatewaySockets> {
  const { config, log, metrics, takeOver } = context;
  const opened = new GatewaySockets({
    config,
    log,
    runtime: client,
    criVersions: versions,
    calls: callMetrics(metrics),
    onReplaced: () => takeOver.lost(config.listen),
    onGivenUp: observeGivenUp(context),
  });
  connectionMetrics(metrics, opened);
  if (config.takeOver) {
    await checkBeforeTakeOver(context);
    checkObjectsFile(config.stateDir);
    await opened.open();
  }
  return opened;
}

/** The runtime, and the sockets that lead to it. */
@Module({ providers: [runtime, criVersions, sockets], exports: [runtime, sockets] })
export class SocketsModule {}
