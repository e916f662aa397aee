import * as z from 'zod';
import { defineCommand } from '../define-command';
import { text } from '../fields';

/** A program in a container. */
export const exec = defineCommand({
  app: 'runtime-gateway',
  verb: 'exec',
  description:
    'Runs a command in a container and waits for its end. An exit code other than 0 is a result, not an error.',
  answered: 'when-allowed',
  limitMs: 'own', // by timeoutSeconds
  input: z.strictObject({
    containerId: z.string().min(1).max(256).describe('Id of a running container'),
    command: z
      .array(z.string().max(32_768))
      .min(1)
      .max(1024)
      .describe('Program and arguments; no shell is involved'),
    timeoutSeconds: z
      .int()
      .min(1)
      .max(3600)
      .default(10)
      .describe('The runtime ends the command after that'),
  }),
  reply: z.object({
    exitCode: z.int().describe('Exit code of the command.'),
    stdout: text('Its output, at most 64 KiB of it.'),
    stderr: text('Its error output, at most 64 KiB of it.'),
    truncated: z.boolean().describe('Whether one of the two is longer than that.'),
  }),
  example: {
    input: { containerId: 'a71e', command: ['redis-cli', 'ping'] },
    reply: { exitCode: 0, stdout: 'PONG\n', stderr: '', truncated: false },
  },
});
