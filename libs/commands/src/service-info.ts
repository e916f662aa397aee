import * as z from 'zod';
import { openWord, text, timestamp } from './fields';

const healthStates = ['ok', 'degraded', 'down'] as const;

/** What a service says of itself: the result of `GET /v1` on its command socket. */
export const serviceInfo = z.object({
  app: text('The service, as in `gc-worker`.'),
  version: text('Its version.'),
  node: text('Its node name, as in subjects and events.'),
  pid: z.int().describe('Its process.'),
  startedAt: timestamp('When the process began.'),
  health: z
    .object({
      state: openWord(healthStates, 'The worst of its components; `down` outside `running`.'),
      phase: openWord(['starting', 'running', 'stopping'], 'Where it is between start and stop.'),
      components: z
        .array(
          z.object({
            name: text('The component, as in `runtime`.'),
            state: openWord(healthStates, 'Its state.'),
            since: timestamp('When the state began.'),
            reason: text('Why it is not ok, in words.').optional(),
            note: text('Something to know although it is ok.').optional(),
          }),
        )
        .describe('Components by name.'),
    })
    .describe('What /readyz says.'),
  verbs: z
    .array(
      z.object({
        verb: text('As in `plan`.'),
        description: text('What it does.'),
        answered: z
          .object({
            nats: z.boolean().describe('Whether callers on NATS are answered.'),
            local: z.boolean().describe('Whether callers on this socket are answered.'),
          })
          .describe('Who is answered, and who gets PERMISSION_DENIED.'),
      }),
    )
    .describe('The commands that it knows.'),
});

/** The service behind a command socket. */
export type ServiceInfo = z.output<typeof serviceInfo>;

/** Where the command socket of a service is unless its key `commandSocket` says otherwise. */
export const commandSocketPath = (app: string): string => `/run/stowage/${app}.cmd.sock`;
