import * as z from 'zod';
import { defineEvent } from '../define-event';
import { containerImage, containerInPod, maxListedImages, observedBy, text } from '../fields';

export const containerCreationStartedV1 = defineEvent({
  name: 'ContainerCreationStarted',
  version: 1,
  entity: 'container',
  event: 'creation-started',
  publishers: ['runtime-gateway'],
  description:
    'A client asked the runtime to create a container: its images are about to be used. A hint, published while the call still runs and only for calls through the gateway; ContainerCreated follows when the runtime created it, nothing when it did not.',
  subjectHolds: 'the image as the client named it (the container has no id yet)',
  data: z.looseObject({
    podSandboxId: text('ID of its pod sandbox.'),
    ...containerInPod,
    image: containerImage,
    volumeImages: z
      .array(containerImage)
      .max(maxListedImages)
      .describe(
        `Images that are mounted into it as volumes, the first ${String(maxListedImages)}; absent where there are none.`,
      )
      .optional(),
    observedBy,
  }),
  example: {
    subject: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
    data: {
      podSandboxId: '5f2c1c9f9c7d4c0a8b8e6f1d2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d',
      pod: { namespace: 'shop', name: 'cart-0', uid: '4a1c2f6e-5d57-4a0e-9c43-0f1f4f6f8a11' },
      name: 'cart',
      attempt: 0,
      image: {
        reference: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
        userSpecifiedReference: 'registry.example:5000/team/app:1.4',
        imageId: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
      },
      observedBy: 'call',
    },
  },
});
