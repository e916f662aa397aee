import * as z from 'zod';
import { defineEvent } from '../define-event';
import { containerImage, containerNames, observedBy, text, timestamp } from '../fields';

export const containerStoppedV1 = defineEvent({
  name: 'ContainerStopped',
  version: 1,
  entity: 'container',
  event: 'stopped',
  publishers: ['runtime-gateway'],
  description: 'A container is no longer running: it exited by itself or was stopped on request.',
  subjectHolds: 'the container id',
  data: z.looseObject({
    ...containerNames,
    image: containerImage.optional(),
    exitCode: z
      .int()
      .describe('Exit code of its first process; absent when the runtime did not report it.')
      .optional(),
    reason: text(
      'Reason as the runtime reports it, as in `Completed`, `Error` or `OOMKilled`.',
    ).optional(),
    requested: z
      .boolean()
      .describe(
        'It was stopped on request (StopContainer or StopPodSandbox); false when it exited by itself, absent when not known.',
      )
      .optional(),
    startedAt: timestamp('Start time as the runtime reports it.').optional(),
    finishedAt: timestamp('End time as the runtime reports it.').optional(),
    observedBy,
  }),
  example: {
    subject: 'c0ffee1c9f9c7d4c0a8b8e6f1d2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c',
    data: {
      containerId: 'c0ffee1c9f9c7d4c0a8b8e6f1d2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c',
      podSandboxId: '5f2c1c9f9c7d4c0a8b8e6f1d2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d',
      pod: { namespace: 'shop', name: 'cart-0', uid: '4a1c2f6e-5d57-4a0e-9c43-0f1f4f6f8a11' },
      name: 'cart',
      attempt: 0,
      image: {
        reference: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
        userSpecifiedReference: 'registry.example:5000/team/app:1.4',
        imageId: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
      },
      exitCode: 137,
      reason: 'Error',
      requested: true,
      startedAt: '2026-11-20T22:12:00.412Z',
      finishedAt: '2026-11-20T22:14:10.000Z',
      observedBy: 'call',
    },
  },
});
