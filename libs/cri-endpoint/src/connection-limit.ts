import { readFileSync } from 'node:fs';

/** Connections that a socket takes where descriptors abound. */
const most = 12_000;
/** Each may take two descriptors: its own, and one to the runtime. Half of them stay for others. */
const share = 4;

/**
 * The most connections that one socket may have, so that its clients leave descriptors to the other
 * sockets of this process. Node.js has raised the limit of descriptors as far as it may by then.
 */
export function connectionLimit(limits: () => string = ownLimits): number {
  const [, descriptors] = /^Max open files +(\d+)/m.exec(limits()) ?? [];
  return descriptors === undefined ? most : Math.min(most, Math.floor(Number(descriptors) / share));
}

const ownLimits = (): string => readFileSync('/proc/self/limits', 'utf8');
