import * as z from 'zod';
import { defineEvent } from '../define-event';
import { message, text, timestamp } from '../fields';

export const runtimeUnavailableV1 = defineEvent({
  name: 'RuntimeUnavailable',
  version: 1,
  entity: 'runtime',
  event: 'unavailable',
  publishers: ['runtime-gateway', 'docker-shim'],
  description: 'The container runtime does not answer. Published once; RuntimeRecovered ends it.',
  subjectHolds: 'the runtime endpoint',
  data: z.looseObject({
    endpoint: text('Endpoint of the runtime, as in `unix:///run/containerd/containerd.sock`.'),
    unavailableSince: timestamp('Since when it does not answer.'),
    reason: message('What failed, for people.'),
  }),
  example: {
    subject: 'unix:///run/containerd/containerd.sock',
    data: {
      endpoint: 'unix:///run/containerd/containerd.sock',
      unavailableSince: '2026-11-20T22:12:00.000Z',
      reason: 'connect ENOENT /run/containerd/containerd.sock',
    },
  },
});
