import * as z from 'zod';
import { defineCommand } from '../define-command';
import { noInput } from '../fields';
import { pauseFields } from './pause';

/** Collections again. */
export const resume = defineCommand({
  app: 'gc-worker',
  verb: 'resume',
  description: 'Ends a pause of collections. Without one it does nothing.',
  answered: 'when-allowed',
  input: noInput,
  reply: z.object({
    ended: z
      .object(pauseFields)
      .nullable()
      .describe('The pause that there was; null when there was none.'),
  }),
  example: {
    input: {},
    reply: {
      ended: {
        since: '2026-11-20T22:12:00.000Z',
        until: '2026-11-20T23:12:00.000Z',
        reason: 'looking into a disk',
      },
    },
  },
});
