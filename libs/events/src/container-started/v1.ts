import * as z from 'zod';
import { defineEvent } from '../define-event';
import { containerImage, containerNames, observedBy, timestamp } from '../fields';

export const containerStartedV1 = defineEvent({
  name: 'ContainerStarted',
  version: 1,
  entity: 'container',
  event: 'started',
  publishers: ['runtime-gateway'],
  description: 'A container is running.',
  subjectHolds: 'the container id',
  data: z.looseObject({
    ...containerNames,
    image: containerImage.optional(),
    startedAt: timestamp('Start time as the runtime reports it.').optional(),
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
      startedAt: '2026-11-20T22:12:00.412Z',
      observedBy: 'call',
    },
  },
});
