import type { Socket } from 'node:net';

/** Bytes that the kernel has not taken yet; node:net looks at the same number for its timeouts. */
export function waitingWrites(socket: Socket): number {
  const { _handle: handle } = socket as { _handle?: { writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? 0;
}
