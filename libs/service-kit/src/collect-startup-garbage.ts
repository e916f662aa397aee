import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * One garbage collection after the start, some 20 ms. Starting leaves megabytes that V8 has no reason to look at
 * before the process has been busy for long, and its limit for the next collection follows from what this one keeps.
 */
export function collectStartupGarbage(): void {
  // Node.js has no other way to ask for it without a command line flag.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  collect();
}
