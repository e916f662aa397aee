import { request, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import type { CommandDefinition, CommandInput, CommandReply } from '@stowage/commands';
import { failing, readResult, requireInput, resultOf, type SendOptions } from './exchange';
import { localFailure } from './send-local-command';

/**
 * Sends a command to the service that listens on a command socket of this machine and yields its
 * result, and a new one whenever it has become another, until the signal aborts or the caller ends
 * the iteration. Only commands whose definition `follows` have more than one. Checks and errors are
 * those of `sendLocalCommand`; `timeoutMs` is for the first reply. Ends without an error when the
 * signal aborts.
 */
export async function* followLocalCommand<C extends CommandDefinition>(
  socketPath: string,
  command: C,
  input: CommandInput<C>,
  options: SendOptions,
): AsyncGenerator<CommandReply<C>, void, undefined> {
  const fail = failing(command, socketPath);
  const { signal, timeoutMs } = options;
  signal?.throwIfAborted();
  requireInput(command, input, fail);
  const over = new AbortController();
  const leave = () => over.abort();
  signal?.addEventListener('abort', leave, { once: true });
  const late = setTimeout(leave, timeoutMs);
  let isSent = false;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request(
        {
          ...{ socketPath, path: `/v1/${command.verb}?follow`, method: 'POST', agent: false },
          signal: over.signal,
          headers: { host: 'localhost', 'content-type': 'application/json' },
        },
        resolve,
      );
      outgoing.on('socket', (socket) => socket.once('connect', () => (isSent = true)));
      outgoing.on('error', reject);
      outgoing.end(JSON.stringify(input));
    });
    clearTimeout(late);
    const lines = createInterface({ input: response });
    // Emitted once more when this has left already.
    for (const source of [response, lines]) source.on('error', () => undefined);
    for await (const line of lines) {
      const data = Buffer.from(line);
      if (response.statusCode !== 200) readResult(data, fail);
      yield resultOf(command, data, options, fail);
    }
    if (!response.complete) throw new Error('the connection has ended');
  } catch (error) {
    if (signal?.aborted === true) return;
    if (error instanceof Error && error.name === 'CommandError') throw error;
    if (over.signal.aborted) {
      throw fail('COMMAND_TIMEOUT', `no answer within ${timeoutMs / 1000} s`);
    }
    throw localFailure(error, { socketPath, app: command.app, isSent }, fail);
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', leave);
    over.abort();
  }
}
