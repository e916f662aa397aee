import { errorMessage } from '@stowage/errors';
import type { Duplex, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PortTarget } from './types';

/** One connection that a client forwards. */
export interface ForwardedPort {
  readonly port: number;
  readonly input: Readable;
  readonly output: Writable;
  /** Gets a text when there is no connection; ends when none can come any more. */
  readonly error: Writable;
  /** Whether the client learns of the end of `output` alone, and can end `input` alone. */
  readonly hasHalfClose: boolean;
}

/**
 * Connects a client with a port, until both directions have ended or one broke. Never rejects: what
 * goes wrong with one connection is reported on its error stream, and the others go on.
 */
export async function forwardPort(
  { port, input, output, error, hasHalfClose }: ForwardedPort,
  target: PortTarget,
  signal: AbortSignal,
): Promise<void> {
  let remote: Duplex;
  try {
    remote = await target.connect(port, { signal });
  } catch (reason) {
    error.end(`error forwarding port ${port}: ${errorMessage(reason)}`);
    input.on('error', () => undefined).resume();
    output.end();
    return;
  }
  remote.on('error', () => undefined);
  const cut = () => remote.destroy();
  signal.addEventListener('abort', cut, { once: true });
  if (signal.aborted) cut();
  const sent = pipeline(input, remote).catch(() => undefined);
  // A connection that the other side has broken is not an error of the forwarding: clients end all
  // their forwarding at such a one.
  await pipeline(remote, output).catch(() => undefined);
  error.end();
  if (hasHalfClose) await sent;
  signal.removeEventListener('abort', cut);
  remote.destroy();
}
