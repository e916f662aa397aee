import { Session } from 'node:inspector';

/**
 * One garbage collection after the start, some 20 ms. Starting leaves megabytes that V8 has no
 * reason to look at before the process has been busy for long, and its limit for the next
 * collection follows from what this one keeps. The inspector's session stays within the process; it
 * is the one way to ask for it without a command line flag.
 */
export function collectStartupGarbage(): Promise<void> {
  const session = new Session();
  session.connect();
  return new Promise((resolve) => {
    session.post('HeapProfiler.collectGarbage', () => {
      // Within its own answer the session would wait for itself.
      setImmediate(() => {
        session.disconnect();
        resolve();
      });
    });
  });
}
