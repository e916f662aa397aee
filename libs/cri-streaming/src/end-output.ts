import { finished, type Writable } from 'node:stream';

/** Ends a stream, unless it is, and resolves when all of it is written or cannot be any more. */
export function endOutput(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    finished(stream, { readable: false }, () => resolve());
    if (!stream.writableEnded) stream.end();
  });
}
