import * as z from 'zod';
import { defineEvent } from '../define-event';
import { bytes, count, openWord, timestamp } from '../fields';

export const eventsDroppedV1 = defineEvent({
  name: 'EventsDropped',
  version: 1,
  entity: 'events',
  event: 'dropped',
  publishers: ['any'],
  description:
    'Events of this source were dropped before they reached JetStream. This event takes their place and has the last missing sequence, so it describes the gap that a consumer sees. An event counted here may have been delivered after all, when its acknowledgement was lost.',
  subjectHolds: 'the source, `/nodes/<node>/<app>`',
  data: z.looseObject({
    reason: openWord(
      ['outbox-full', 'too-large', 'outbox-corrupt'],
      'Why: the outbox reached its limit, the server refuses messages of that size, or the outbox file could no longer be read.',
    ),
    count: count('Number of dropped events; absent when not known (`outbox-corrupt`).').optional(),
    bytes: bytes('Their size together.').optional(),
    firstSequence: count('Sequence of the first one.').optional(),
    lastSequence: count('Sequence of the last one.').optional(),
    oldestTime: timestamp('Time of the oldest one.').optional(),
    newestTime: timestamp('Time of the newest one.').optional(),
    countByName: z
      .record(z.string(), count('Number of events of this name.'))
      .describe('Number dropped by event name, as in `{"ContainerStarted": 12}`.')
      .optional(),
  }),
  example: {
    subject: '/nodes/worker-1.example.net/runtime-gateway',
    data: {
      reason: 'outbox-full',
      count: 500,
      bytes: 412000,
      firstSequence: 101,
      lastSequence: 600,
      oldestTime: '2026-11-20T20:00:00.000Z',
      newestTime: '2026-11-20T21:10:00.000Z',
      countByName: { ContainerCreated: 250, ContainerStarted: 250 },
    },
  },
});
