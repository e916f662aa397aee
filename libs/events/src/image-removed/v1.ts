import * as z from 'zod';
import { defineEvent } from '../define-event';
import {
  bytes,
  listedImage,
  milliseconds,
  openWord,
  removalReason,
  runtimeHandler,
  signedBytes,
  text,
  timestamp,
} from '../fields';

export const imageRemovedV1 = defineEvent({
  name: 'ImageRemoved',
  version: 1,
  entity: 'image',
  event: 'removed',
  publishers: ['gc-worker', 'image-service'],
  description: 'An image is gone: collected, removed on request, or found to have vanished.',
  subjectHolds: 'the image id, or the reference as requested when the id is not known',
  data: z.looseObject({
    ...listedImage,
    imageId: listedImage.imageId.optional(),
    requestedReference: text(
      'Image as the caller named it, when it was removed on request.',
    ).optional(),
    removedBy: openWord(
      ['gc-worker', 'image-service', 'unknown'],
      'Who removed it; `unknown` for an image that vanished.',
    ),
    reason: removalReason,
    planId: text('The collection that removed it, as in GarbageCollected.').optional(),
    expectedBytes: bytes(
      'Bytes its removal was expected to free, in the sizes the runtime reports; layers shared with remaining images are left out as far as the runtime reports them. Absent when unknown.',
    ).optional(),
    expectedIsEstimate: z
      .boolean()
      .describe(
        'The runtime did not report enough about shared layers: the expected value may be too high.',
      )
      .optional(),
    measuredBytes: signedBytes(
      'Growth of the available bytes of the file system over the removal. Runtimes free space later, so a collection as a whole is the better measure. Absent when not measured.',
    ).optional(),
    firstDetected: timestamp('When it was first detected.').optional(),
    lastUsed: timestamp('When it was last seen in use; absent when never.').optional(),
    idleMs: milliseconds('Time since last use; absent when never seen in use.').optional(),
    runtimeHandler,
  }),
  example: {
    subject: 'sha256:77af4d6b9913e693e8d0b4b294fa62ade6054e6b2f1ffb617ac955dd63fb0182',
    data: {
      imageId: 'sha256:77af4d6b9913e693e8d0b4b294fa62ade6054e6b2f1ffb617ac955dd63fb0182',
      repoTags: ['registry.example:5000/team/old:0.9'],
      repoDigests: [],
      removedBy: 'gc-worker',
      reason: 'threshold',
      planId: '01KAJB5V1B3D5F7H9K1N3Q5S7V',
      expectedBytes: 104857600,
      measuredBytes: 73400320,
      firstDetected: '2026-11-01T08:00:00.000Z',
      lastUsed: '2026-11-12T17:30:00.000Z',
      idleMs: 708120000,
    },
  },
});
