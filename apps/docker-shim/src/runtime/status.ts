import { StatusResponse } from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';
import { canMountRecursiveReadOnly } from '../container/mounts';
import { imageStore } from '../engine/image-store';
import { handlerNames } from './runtime-handler';

/** What Status says beside the engine's own facts. */
export interface StatusFacts {
  readonly sandboxImage: string;
  readonly pulls: () => readonly object[];
  /** Who makes the networks of pods. */
  readonly networkMode: string;
  /** Of the CNI network that new pods get; empty for none. */
  readonly networkName: string;
  /** How logs of new containers are made. */
  readonly logMode: string;
  /** Why pods cannot get a network; undefined when they can. */
  readonly networkProblem: string | undefined;
}

type Connection = Pick<EngineConnection, 'availability' | 'lastKnown'>;

/** Status: answered whether the engine is there or not, and says why it is not ready. */
export function status(
  connection: Connection,
  verbose: boolean,
  facts: StatusFacts,
): StatusResponse {
  const { available, code = '', reason = '' } = connection.availability();
  const { networkProblem } = facts;
  const { info, api = '' } = connection.lastKnown() ?? {};
  return StatusResponse.fromPartial({
    status: {
      conditions: [
        {
          type: 'RuntimeReady',
          status: available,
          reason: code,
          message: reason,
        },
        {
          type: 'NetworkReady',
          status: networkProblem === undefined,
          reason: networkProblem === undefined ? '' : 'NetworkPluginNotReady',
          message: networkProblem ?? '',
        },
      ],
    },
    runtimeHandlers: handlerNames(info).map((name) => ({
      name,
      features: {
        recursiveReadOnlyMounts: info !== undefined && canMountRecursiveReadOnly(info, api, name),
        userNamespaces: false,
      },
    })),
    features: { supplementalGroupsPolicy: true },
    info: verbose
      ? { config: JSON.stringify(config(connection, facts)), pulls: JSON.stringify(facts.pulls()) }
      : {},
  });
}

function config(
  connection: Connection,
  { sandboxImage, networkMode, networkName, logMode }: StatusFacts,
): object {
  const { api, version, info } = connection.lastKnown() ?? {};
  return {
    sandboxImage,
    engineVersion: version?.engine ?? '',
    apiVersion: api ?? '',
    cgroupDriver: info?.CgroupDriver ?? '',
    cgroupVersion: info?.CgroupVersion ?? '',
    storageDriver: info?.Driver ?? '',
    imageStore: info === undefined ? '' : imageStore(info),
    networkMode,
    networkName,
    logMode,
  };
}
