import * as z from 'zod';
import { defineEvent } from '../define-event';
import { bytes, milliseconds, percent, pod, pullNames, text } from '../fields';

export const imagePullProgressV1 = defineEvent({
  name: 'ImagePullProgress',
  version: 1,
  entity: 'image',
  event: 'pull-progress',
  publishers: ['image-service'],
  description:
    'A running pull has received more bytes. At most one for each pull in each `imagePullProgressInterval`; short pulls have none.',
  subjectHolds: 'the normalised image reference',
  data: z.looseObject({
    pullId: text('Identifies this pull; the same value as in ImagePullStarted.'),
    ...pullNames,
    bytes: bytes('Bytes received, compressed as the registry sends them where that is known.'),
    totalBytes: bytes(
      'Bytes of all layers and the configuration, from the manifest; absent while unknown.',
    ).optional(),
    percent: percent('Share of `totalBytes` received; absent without it.').optional(),
    bytesPerSecond: bytes('Rate since the first bytes of this pull; absent at first.').optional(),
    remainingMs: milliseconds(
      'Time left at that rate, without unpacking. Absent without `totalBytes`.',
    ).optional(),
    elapsedMs: milliseconds('Time since the pull was handed to the runtime.'),
    approximate: z
      .boolean()
      .describe(
        'True where `bytes` is the growth of the whole image store since the pull started, including other pulls.',
      ),
    pod: pod.optional(),
  }),
  example: {
    subject: 'registry.example:5000/team/app:1.4',
    data: {
      pullId: '01KAJB3N5Z7V9R1T3W5Y7A9C1E',
      requestedReference: 'registry.example:5000/team/app:1.4',
      reference: 'registry.example:5000/team/app:1.4',
      bytes: 26214400,
      totalBytes: 52428800,
      percent: 50,
      bytesPerSecond: 5242880,
      remainingMs: 5000,
      elapsedMs: 5100,
      approximate: false,
    },
  },
});
