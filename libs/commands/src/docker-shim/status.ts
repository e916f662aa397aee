import * as z from 'zod';
import { defineCommand } from '../define-command';
import { noInput, openWord, text, timestamp } from '../fields';

/** The engine and the service. */
export const status = defineCommand({
  app: 'docker-shim',
  verb: 'status',
  description:
    'Returns the state of the Docker Engine and how it is served. An engine that is away is a result, not an error.',
  answered: 'by-default',
  input: noInput,
  reply: z.object({
    version: text('Version of docker-shim.'),
    endpoint: text('Socket of the engine.'),
    available: z.boolean().describe('Whether the engine answers.'),
    since: timestamp('Since when it does, or does not.'),
    reason: text('Why it does not.').optional(),
    engineVersion: text('Version of the engine; absent before the first contact.').optional(),
    apiVersion: text('Version of its API that is spoken with it; absent as that.').optional(),
    imageStore: openWord(
      ['graph-driver', 'containerd'],
      'What keeps the images of the engine; absent as that.',
    ).optional(),
    socket: text('The CRI socket.'),
    networkMode: openWord(['cni', 'bridge'], 'Where pods get their network from.'),
    logsMode: openWord(['copy', 'link'], 'What the log files of new containers are.'),
  }),
  example: {
    input: {},
    reply: {
      version: '1.0.0',
      endpoint: 'unix:///var/run/docker.sock',
      available: true,
      since: '2026-11-20T22:00:00.000Z',
      engineVersion: '28.5.1',
      apiVersion: '1.51',
      imageStore: 'graph-driver',
      socket: '/run/stowage/docker-shim.sock',
      networkMode: 'cni',
      logsMode: 'copy',
    },
  },
});
