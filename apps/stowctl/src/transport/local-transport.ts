import path from 'node:path';
import { commandApps, type ServiceInfo } from '@stowage/commands';
import {
  askLocalService,
  CommandError,
  followLocalCommand,
  sendLocalCommand,
} from '@stowage/commands/local';
import { localEvents } from './local-events';
import type { Transport } from './reach';

/** Folder of the sockets unless the configuration of the services says otherwise. */
export const defaultSocketFolder = '/run/stowage';

/** Path of a service's command socket. */
export const socketOf = (folder: string, app: string): string =>
  path.join(folder, `${app}.cmd.sock`);

/** The services of this node, through their command sockets. NATS is not needed. */
export function localTransport(options: {
  readonly folder: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}): Transport {
  const { folder, timeoutMs } = options;
  const over = new AbortController();
  // What is still asked when the command is through does not keep the program.
  const signal = AbortSignal.any([options.signal, over.signal]);
  const info = (app: string): Promise<ServiceInfo> =>
    askLocalService(socketOf(folder, app), app, { timeoutMs, signal });
  const transport: Transport = {
    allNodes: async () => {
      let first: unknown;
      for (const app of commandApps) {
        try {
          return [(await info(app)).node];
        } catch (error) {
          // What one that listens cannot do is of more use than that another does not.
          const isAbsent = error instanceof CommandError && error.code === 'COMMAND_NO_RESPONDERS';
          if (first === undefined || !isAbsent) first = error;
        }
      }
      throw first;
    },
    send: (_node, command, input, more = {}) =>
      sendLocalCommand(socketOf(folder, command.app), command, input, {
        timeoutMs: more.timeoutMs ?? timeoutMs,
        signal,
      }),
    follow: (_node, command, input) =>
      followLocalCommand(socketOf(folder, command.app), command, input, { timeoutMs, signal }),
    info: (_node, app) => info(app),
    discovered: () => Promise.resolve([]),
    events: (query) => localEvents(transport, query),
    close: () => {
      over.abort();
      return Promise.resolve();
    },
  };
  return transport;
}
