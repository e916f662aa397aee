import path from 'node:path';
import { ContainerLogs } from '../log/container-logs';

const quiet = () => undefined;

/** Logs that are copied, with their state in a folder below `root`, and that notify nobody. */
export const copyingLogs = (root: string): ContainerLogs =>
  new ContainerLogs({
    mode: 'copy',
    maxSizeBytes: 1_048_576,
    maxFile: 3,
    stateDir: path.join(root, 'state'),
    log: { info: quiet, warn: quiet },
    listener: { copied: quiet, reopened: quiet, threadFailed: quiet },
  });
