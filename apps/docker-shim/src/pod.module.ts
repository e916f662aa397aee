import { Module } from '@nestjs/common';
import { provider, type ServiceContext } from '@stowage/service-kit';
import path from 'node:path';
import { CONTEXT, type ShimConfig } from './config';
import type { EngineConnection } from './engine/engine-connection';
import type { ShimMetrics } from './metrics';
import { EngineModule } from './engine.module';
import { BridgeNetwork } from './network/bridge-network';
import { CniNetwork } from './network/cni-network';
import { enableBridgeNetfilter } from './network/host-bridge';
import type { PodNetwork } from './network/pod-network';
import { Checkpoints } from './pod/checkpoints';
import { PodQueue } from './pod/pod-queue';
import { Pods } from './pod/pods';
import { SandboxRecords } from './pod/sandbox-records';
import { SandboxUpkeep } from './pod/sandbox-upkeep';
import {
  CHECKPOINTS,
  ENGINE,
  LISTED,
  METRICS,
  NETWORK,
  PODS,
  QUEUE,
  RECORDS,
  UPKEEP,
} from './tokens';

/** What is known of the pods, and what the calls about them share. */
const pods = [
  provider(NETWORK, [CONTEXT, ENGINE, METRICS], networkOf, { close: (network) => network.close() }),
  provider(QUEUE, [METRICS], (metrics) => new PodQueue(metrics.pods.waited)),
  provider(CHECKPOINTS, [CONTEXT, METRICS], ({ config, log }, metrics) => {
    const { checkpointDir, stateDir, importCheckpointsFrom } = config;
    return new Checkpoints({
      dir: checkpointDir === '' ? path.join(stateDir, 'sandbox') : checkpointDir,
      importFrom: importCheckpointsFrom,
      onCorrupt: (file, reason) => {
        metrics.pods.corruptCheckpoint();
        log.warn({ file, reason }, 'a checkpoint of a pod sandbox cannot be read');
      },
    });
  }),
  provider(RECORDS, [CONTEXT], ({ config }) => {
    return new SandboxRecords(path.join(config.stateDir, 'pods'));
  }),
  provider(PODS, [ENGINE, CHECKPOINTS, RECORDS, LISTED], (...parts) => new Pods(...parts)),
  provider(
    UPKEEP,
    [CONTEXT, ENGINE, PODS, CHECKPOINTS, RECORDS, NETWORK],
    ({ log }, connection, known, checkpoints, records, network) =>
      new SandboxUpkeep({ connection, pods: known, checkpoints, records, network, log }),
    { close: (upkeep) => upkeep.close() },
  ),
];

/** Pods as the engine has them. */
@Module({ imports: [EngineModule], providers: pods, exports: pods })
export class PodModule {}

/** Where pods get their network from, by `networkMode`. */
async function networkOf(
  { config, log }: ServiceContext<ShimConfig>,
  connection: EngineConnection,
  { cniCalled }: ShimMetrics,
): Promise<PodNetwork> {
  if (config.networkMode === 'bridge') {
    if (config.bridgeNetfilter) await enableBridgeNetfilter(log);
    return new BridgeNetwork(connection, { hairpin: config.hairpinMode === 'hairpin-veth' });
  }
  return new CniNetwork({
    confDir: config.cniConfDir,
    binDirs: config.cniBinDirs,
    cacheDir: config.cniCacheDir,
    podCidrs: config.podCidr,
    stateDir: config.stateDir,
    log,
    onEnded: cniCalled,
  });
}
