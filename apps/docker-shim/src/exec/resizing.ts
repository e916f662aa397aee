import { pause } from '@stowage/async';
import type { TerminalSize } from '@stowage/cri-streaming';

/** Attempts for one size; the engine refuses while a terminal is being made. */
const attempts = 10;
const intervalMs = 50;

/** A listener for sizes of a terminal that sets one after another, and only the last of many. */
export function resizing(
  resize: (size: TerminalSize) => Promise<void>,
): (size: TerminalSize) => void {
  let wanted: TerminalSize | undefined;
  let isRunning = false;
  const run = async () => {
    isRunning = true;
    while (wanted !== undefined) {
      const size = wanted;
      wanted = undefined;
      await set(size);
    }
    isRunning = false;
  };
  const set = async (size: TerminalSize) => {
    for (let attempt = 1; attempt <= attempts && wanted === undefined; attempt += 1) {
      try {
        await resize(size);
        return;
      } catch {
        // Not yet, or not any more: the streams show which.
        await pause(intervalMs);
      }
    }
  };
  return (size) => {
    wanted = size;
    if (!isRunning) void run();
  };
}
