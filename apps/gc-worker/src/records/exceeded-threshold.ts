import type { FileSystemRole } from '../runtime/runtime';

/** A mark that is exceeded, and since when (ms since the epoch). */
export interface ExceededThreshold {
  readonly mountpoint: string;
  readonly role: FileSystemRole;
  readonly resource: 'bytes' | 'inodes';
  readonly level: 'warning' | 'high' | 'critical';
  readonly since: number;
}

/** Which mark of which file system. */
export type ThresholdKey = Pick<ExceededThreshold, 'mountpoint' | 'resource' | 'level'>;
