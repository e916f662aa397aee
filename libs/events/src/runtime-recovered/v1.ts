import * as z from 'zod';
import { defineEvent } from '../define-event';
import { milliseconds, text, timestamp } from '../fields';

export const runtimeRecoveredV1 = defineEvent({
  name: 'RuntimeRecovered',
  version: 1,
  entity: 'runtime',
  event: 'recovered',
  publishers: ['runtime-gateway', 'docker-shim'],
  description: 'The container runtime answers again after RuntimeUnavailable.',
  subjectHolds: 'the runtime endpoint',
  data: z.looseObject({
    endpoint: text('Endpoint of the runtime, as in `unix:///run/containerd/containerd.sock`.'),
    unavailableSince: timestamp('Since when it had not answered.'),
    unavailableForMs: milliseconds('How long it did not answer.'),
    runtime: z
      .looseObject({
        name: text('Runtime name, as in `containerd`.'),
        version: text('Runtime version.'),
      })
      .describe('Which runtime answers now, from its Version call; absent when not known.')
      .optional(),
  }),
  example: {
    subject: 'unix:///run/containerd/containerd.sock',
    data: {
      endpoint: 'unix:///run/containerd/containerd.sock',
      unavailableSince: '2026-11-20T22:12:00.000Z',
      unavailableForMs: 8200,
      runtime: { name: 'containerd', version: '1.6.20' },
    },
  },
});
