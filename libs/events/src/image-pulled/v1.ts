import * as z from 'zod';
import { defineEvent } from '../define-event';
import {
  bytes,
  credential,
  credentialProblems,
  holdUntil,
  milliseconds,
  pod,
  pullNames,
  runtimeHandler,
  text,
  triedCredential,
} from '../fields';

export const imagePulledV1 = defineEvent({
  name: 'ImagePulled',
  version: 1,
  entity: 'image',
  event: 'pulled',
  publishers: ['image-service'],
  description: 'The runtime finished a pull and the image is present.',
  subjectHolds: 'the image id, or the image reference the runtime returned when it reported no id',
  data: z.looseObject({
    pullId: text('Identifies this pull; the same value as in ImagePullStarted.'),
    ...pullNames,
    imageRef: text('What the runtime returned for the pull (`PullImageResponse.image_ref`).'),
    imageId: text(
      'Image ID (`Image.id`), usually `sha256:…`; absent when the runtime did not report it.',
    ).optional(),
    repoDigest: text(
      'Digested reference of what was pulled, as in `docker.io/library/nginx@sha256:…`; absent when unknown.',
    ).optional(),
    sizeBytes: bytes(
      'Size the runtime reports for the image, bytes; layers shared with other images are included. Absent when the runtime does not report it.',
    ).optional(),
    durationMs: milliseconds('Time in the runtime, all attempts together.'),
    waitedMs: milliseconds('Time spent waiting for a free pull slot before that.').optional(),
    attempts: z
      .int()
      .min(1)
      .describe('PullImage calls made, one for each credential tried; 1 when the first succeeded.'),
    credential: credential.describe('The credential that succeeded; source and hash only.'),
    failedAttempts: z
      .array(triedCredential)
      .max(50)
      .describe('Credentials tried before the one that succeeded, in order, with how each failed.')
      .optional(),
    credentialProblems,
    runtimeHandler,
    pod: pod.optional(),
    holdUntil,
  }),
  example: {
    subject: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
    data: {
      pullId: '01KAJB3N5Z7V9R1T3W5Y7A9C1E',
      requestedReference: 'registry.example:5000/team/app:1.4',
      reference: 'registry.example:5000/team/app:1.4',
      imageRef: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
      imageId: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
      repoDigest:
        'registry.example:5000/team/app@sha256:9a1f6b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8',
      sizeBytes: 52428800,
      durationMs: 2140,
      waitedMs: 12,
      attempts: 1,
      credential: {
        source: 'docker-config',
        name: '/var/lib/kubelet/config.json',
        hash: '3f1e0a5b7c9d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7',
      },
      pod: { namespace: 'shop', name: 'cart-0', uid: '4a1c2f6e-5d57-4a0e-9c43-0f1f4f6f8a11' },
    },
  },
});
