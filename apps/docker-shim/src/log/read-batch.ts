import { convertEntries } from './convert-entries';
import type { EngineLog } from './engine-log';

/** Two buffers of one length. One pair serves all containers. */
export interface CopyBuffers {
  /** What was read of the engine's log. */
  readonly source: Buffer;
  /** The same in the CRI's format. */
  readonly target: Buffer;
}

/** What was read at once. */
export interface Batch {
  /** Bytes of the engine's log; 0 at its end. */
  readonly consumed: number;
  /** Bytes of CRI log, at the beginning of the target buffer. */
  readonly produced: number;
  /** Lines that are no entries, and are left out. */
  readonly malformed: number;
  /** How often the engine had removed or emptied a file that was not read to its end. */
  readonly gaps: number;
  /** Whether there may be more at once. */
  readonly isFull: boolean;
}

export const copyBuffers = (bytes: number): CopyBuffers => ({
  source: Buffer.allocUnsafeSlow(bytes),
  target: Buffer.allocUnsafeSlow(bytes),
});

/**
 * Reads entries and converts them, in the next file when one has ended. The log's offset stays at
 * the first of them.
 */
export function readBatch(log: EngineLog, { source, target }: CopyBuffers): Batch {
  let gaps = 0;
  let skipped = 0;
  for (;;) {
    const read = log.read(source);
    const { consumed, produced, malformed } = convertEntries(source, read, target);
    if (consumed > 0) {
      const isFull = read === source.length;
      return { consumed, produced, malformed: malformed + skipped, gaps, isFull };
    }
    if (read === source.length) {
      // No entry is as long as that.
      log.offset += read;
      skipped += 1;
      continue;
    }
    const found = log.next();
    if (found === 'same') {
      return { consumed: 0, produced: 0, malformed: skipped, gaps, isFull: false };
    }
    if (found === 'gap') gaps += 1;
  }
}
