import type { ServerResponse } from 'node:http';
import { pause } from '@stowage/async';
import type { CommandOutcome } from './command-runner';

export interface FollowOptions {
  /** Has the command carried out once more. */
  readonly ask: () => Promise<CommandOutcome>;
  /** Answers in the ordinary way: the first reply is an error. */
  readonly refuse: (outcome: CommandOutcome) => void;
  readonly response: ServerResponse;
  /** Between two looks, milliseconds. */
  readonly pauseMs: number;
  /** Longest time in which a client takes nothing, milliseconds. */
  readonly stallMs: number;
  /** Aborts when the service stops. */
  readonly signal: AbortSignal;
}

/**
 * Answers a command again and again: a line of JSON for each reply that is another than the one
 * before. Ends when the client leaves or takes nothing, the service stops, or with an error, which
 * is the last line.
 */
export async function followCommand(options: FollowOptions): Promise<void> {
  const { ask, refuse, response, pauseMs, stallMs, signal } = options;
  const over = new AbortController();
  const end = () => over.abort();
  response.once('close', end);
  signal.addEventListener('abort', end);
  try {
    let before = await ask();
    if (before.code !== 'OK') {
      refuse(before);
      return;
    }
    response.writeHead(200, {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
    });
    await writeLine(response, before, stallMs);
    while (!over.signal.aborted) {
      await pause(pauseMs, { signal: over.signal });
      if (response.destroyed) return;
      const next = await ask();
      if (!next.reply.equals(before.reply)) await writeLine(response, next, stallMs);
      if (next.code !== 'OK') break;
      before = next;
    }
  } finally {
    signal.removeEventListener('abort', end);
    response.end();
  }
}

/** Waits until the client has taken what was written; one that takes nothing is cut off. */
async function writeLine(
  response: ServerResponse,
  { reply }: CommandOutcome,
  stallMs: number,
): Promise<void> {
  if (response.destroyed || response.write(`${reply.toString()}\n`)) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => response.destroy(), stallMs);
    const done = () => {
      clearTimeout(timer);
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.once('drain', done).once('close', done);
  });
}
