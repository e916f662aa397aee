import type { LogPosition } from './find-resumption';
import type { CopierNumbers } from './log-copier';
import type { CopiedLog } from './log-copy';

/** What the main thread asks the thread that copies logs for. Each is answered, in order. */
export type LogRequest =
  | { readonly do: 'prepare'; readonly logPath: string }
  | { readonly do: 'follow'; readonly log: CopiedLog; readonly kept: LogPosition | undefined }
  | { readonly do: 'ended' | 'reopen' | 'removed'; readonly id: string }
  | { readonly do: 'close' };

/** A request with the number that its answer has. */
export type NumberedRequest = LogRequest & { readonly number: number };

/** What the thread that copies logs reports. */
export type LogReport =
  | { readonly is: 'answer'; readonly number: number; readonly failure?: string }
  | { readonly is: 'positions'; readonly positions: ReadonlyMap<string, LogPosition> }
  | { readonly is: 'numbers'; readonly numbers: CopierNumbers }
  | { readonly is: 'drained' | 'resumed'; readonly id: string }
  | {
      readonly is: 'blocked';
      readonly id: string;
      readonly side: 'source' | 'target';
      readonly reason: string;
    }
  | { readonly is: 'unwatched'; readonly reason: string };
