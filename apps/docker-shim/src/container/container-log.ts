import type { ContainerLogs } from '../log/container-logs';

/** The logs of containers, as the verbs use them. */
export type Logs = Pick<
  ContainerLogs,
  'mode' | 'engineConfig' | 'prepare' | 'follow' | 'ended' | 'removed'
>;
