import type {
  ContainerConfig,
  ContainerMetadata,
  LinuxContainerSecurityContext,
} from '@stowage/cri-proto';
import { InvalidArgumentError, UnimplementedError } from '@stowage/errors';
import type { EngineInfo, NewContainer } from '../engine/engine-client';
import { containerLabels, imageMountsLabel, type LogMode } from '../pod/labels';
import { oomScoreAdj } from '../pod/oom-score-adj';
import type { InspectedSandbox } from '../pod/pods';
import type { Logs } from './container-log';
import { devices } from './devices';
import { environment } from './environment';
import { engineMounts } from './mounts';
import { namespaces, type TargetContainer } from './namespaces';
import { privileges } from './privileges';
import { engineResources } from './resources';
import { stopSignalName } from './stop-signal';
import type { ProcessUser } from './user';

/** The request's container with what every container has. */
export interface CheckedContainerConfig extends ContainerConfig {
  readonly metadata: ContainerMetadata;
}

/** All that a container is made of. */
export interface ContainerParts {
  readonly config: CheckedContainerConfig;
  readonly sandbox: InspectedSandbox;
  readonly image: {
    readonly id: string;
    /** As the user wrote it. */
    readonly name: string;
  };
  /** Ids of the images that are mounted, by the names in the mounts. */
  readonly imageMounts: ReadonlyMap<string, string>;
  /** The container whose processes are to be seen. */
  readonly target: TargetContainer | undefined;
  readonly user: ProcessUser;
  readonly securityOpt: readonly string[];
  readonly log: {
    readonly mode: LogMode;
    /** Empty for none. */
    readonly path: string;
    readonly config: ReturnType<Logs['engineConfig']>;
  };
  readonly api: string;
  readonly info: EngineInfo;
  readonly restrictOomScoreAdj: boolean;
}

/** @throws {InvalidArgumentError} @throws {UnimplementedError} */
export function checkedContainerConfig(
  config: ContainerConfig | undefined,
): CheckedContainerConfig {
  const metadata = config?.metadata;
  if (config === undefined || metadata === undefined) {
    throw new InvalidArgumentError('config.metadata', undefined, 'the metadata of a container');
  }
  if (metadata.name === '') {
    throw new InvalidArgumentError('config.metadata.name', '', 'a text that is not empty');
  }
  if (config.windows !== undefined) {
    throw new UnimplementedError('config.windows', 'the containers of this node are Linux ones');
  }
  return { ...config, metadata };
}

export const securityContext = ({
  linux,
}: ContainerConfig): LinuxContainerSecurityContext | undefined => linux?.securityContext;

/**
 * What the engine is to create.
 *
 * @throws {InvalidArgumentError} @throws {UnimplementedError} @throws {FailedPreconditionError}
 */
export function containerRequest(parts: ContainerParts): NewContainer {
  const { config, sandbox, image, imageMounts, user, log, api, info } = parts;
  const { metadata, labels, annotations, command, args, linux } = config;
  const context = securityContext(config);
  const ofSandbox = sandbox.container.HostConfig;
  const isPrivileged = context?.privileged ?? false;
  return {
    Image: image.id,
    // With an entrypoint of its own the engine takes no command of the image.
    ...(command.length > 0 && { Entrypoint: command }),
    ...(args.length > 0 && { Cmd: args }),
    WorkingDir: config.workingDir === '' ? undefined : config.workingDir,
    Env: environment(config.envs),
    OpenStdin: config.stdin,
    StdinOnce: config.stdinOnce,
    Tty: config.tty,
    User: user.User,
    StopSignal: stopSignalName(config.stopSignal),
    Healthcheck: { Test: ['NONE'] },
    Labels: {
      ...containerLabels(
        {
          ...{ metadata, labels, annotations, sandboxId: sandbox.id, image: image.name },
          ...{ logPath: log.path, logMode: log.mode },
        },
        sandbox.metadata,
      ),
      ...(imageMounts.size > 0 && { [imageMountsLabel]: [...imageMounts.values()].join(',') }),
    },
    HostConfig: {
      ...privileges(context),
      ...namespaces(context?.namespaceOptions, isPrivileged, sandbox.container, parts.target, info),
      ...devices(config, api),
      ...engineResources(linux?.resources),
      SecurityOpt: parts.securityOpt,
      GroupAdd: user.GroupAdd,
      Mounts: engineMounts(config.mounts, api, imageMounts),
      ...(ofSandbox?.CgroupParent ? { CgroupParent: ofSandbox.CgroupParent } : {}),
      ...(ofSandbox?.Runtime ? { Runtime: ofSandbox.Runtime } : {}),
      OomScoreAdj: oomScoreAdj(
        Number(linux?.resources?.oomScoreAdj ?? 0n),
        parts.restrictOomScoreAdj,
      ),
      RestartPolicy: { Name: 'no' },
      LogConfig: log.config,
    },
  };
}
