import { CancelledError } from '@stowage/errors';
import type { Readable, Writable } from 'node:stream';
import { endOutput } from './end-output';
import { statusOf, type SessionEnd, type StatusFormat } from './session-status';
import { TerminalSizes } from './terminal-sizes';
import type { ExecTarget } from './types';

/** The streams of a client, whatever carries them. */
export interface ExecStreams {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  readonly resize: Readable | undefined;
  /** Gets how it ended. */
  readonly error: Writable;
  readonly errorFormat: StatusFormat;
  /** Resolves when the client is gone; never rejects. */
  readonly gone: Promise<void>;
  /** Ends all streams, and the connection when everything is sent. */
  finish(): Promise<void>;
}

/**
 * Runs a target on the streams of a client: all output first, then how it ended, then the end of
 * each stream. Resolves when the connection is closed.
 *
 * @param stop ends the session before the target does; its reason is reported to the client.
 */
export async function runExecSession(
  streams: ExecStreams,
  target: ExecTarget,
  stop: AbortSignal,
): Promise<void> {
  const { stdin, stdout, stderr } = streams;
  const gone = new AbortController();
  void streams.gone.then(() => gone.abort(new CancelledError('session')));
  const signal = AbortSignal.any([gone.signal, stop]);
  const sizes = new TerminalSizes(streams.resize);
  const onResize = sizes.listen.bind(sizes);
  const running = target.run({ stdin, stdout, stderr, signal, onResize }).then(
    (exitCode): SessionEnd => ({ exitCode }),
    (error: unknown): SessionEnd => ({ error }),
  );
  const end = await Promise.race([running, aborted(signal)]);
  if (!gone.signal.aborted) {
    const outputs = [stdout, stderr].filter((stream) => stream !== undefined);
    await Promise.all(outputs.map(endOutput));
    const status = statusOf(end, streams.errorFormat);
    if (status !== '') streams.error.write(status);
    streams.error.end();
  }
  await streams.finish();
}

function aborted(signal: AbortSignal): Promise<SessionEnd> {
  return new Promise((resolve) => {
    const end = () => resolve({ error: signal.reason });
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}
