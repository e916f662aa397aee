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
    'Events of this source were given up before they reached JetStream. It stands where they would have stood and carries the last sequence that is missing, so the gap a consumer sees is the one told here. An event counted here may have been delivered after all, when its acknowledgement was lost.',
  subjectHolds: 'the source, `/nodes/<node>/<app>`',
  data: z.looseObject({
    reason: openWord(
      ['outbox-full', 'too-large', 'outbox-corrupt'],
      'Why: the outbox reached its bound, the server refuses messages of that size, or the outbox file could not be read any more.',
    ),
    count: count('Number of events given up; absent when not known (`outbox-corrupt`).').optional(),
    bytes: bytes('Their size together.').optional(),
    firstSequence: count('Sequence of the first one.').optional(),
    lastSequence: count('Sequence of the last one.').optional(),
    oldestTime: timestamp('Time of the oldest one.').optional(),
    newestTime: timestamp('Time of the newest one.').optional(),
    countByName: z
      .record(z.string(), count('Number of events of this name.'))
      .describe('Number given up by event name, as in `{"ContainerStarted": 12}`.')
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
