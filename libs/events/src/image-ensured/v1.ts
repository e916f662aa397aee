import * as z from 'zod';
import { defineEvent } from '../define-event';
import { bytes, holdUntil, openWord, pod, pullNames, runtimeHandler, text } from '../fields';

export const imageEnsuredV1 = defineEvent({
  name: 'ImageEnsured',
  version: 1,
  entity: 'image',
  event: 'ensured',
  publishers: ['image-service'],
  description:
    'An image was requested and is already present, so nothing was pulled: its last use is now.',
  subjectHolds: 'the image id',
  data: z.looseObject({
    ...pullNames,
    imageId: text('Image ID as the runtime reports it (`Image.id`).'),
    repoDigest: text('Digested reference, where known.').optional(),
    sizeBytes: bytes('Size the runtime reports for the image, bytes.').optional(),
    pullPolicy: openWord(
      ['Always', 'IfNotPresent', 'Never'],
      'Pull policy of the request.',
    ).optional(),
    runtimeHandler,
    pod: pod.optional(),
    holdUntil,
  }),
  example: {
    subject: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
    data: {
      requestedReference: 'nginx:1.25',
      reference: 'docker.io/library/nginx:1.25',
      imageId: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
      sizeBytes: 71300000,
      pullPolicy: 'IfNotPresent',
      holdUntil: '2026-11-20T23:12:00.000Z',
    },
  },
});
