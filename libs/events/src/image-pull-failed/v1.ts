import * as z from 'zod';
import { defineEvent } from '../define-event';
import {
  count,
  credentialProblems,
  failure,
  milliseconds,
  pod,
  pullNames,
  runtimeHandler,
  text,
  timestamp,
  triedCredential,
} from '../fields';

export const imagePullFailedV1 = defineEvent({
  name: 'ImagePullFailed',
  version: 1,
  entity: 'image',
  event: 'pull-failed',
  publishers: ['image-service'],
  description: 'A pull ended without the image, or was refused before it started.',
  subjectHolds:
    'the normalised image reference, or the reference as requested when it does not parse',
  data: z.looseObject({
    pullId: text('Identifies this pull; the same value as in ImagePullStarted.'),
    requestedReference: pullNames.requestedReference,
    reference: pullNames.reference.optional(),
    error: failure(
      [
        'invalid-reference',
        'unauthorized',
        'credentials-unusable',
        'not-found',
        'rate-limited',
        'registry-unavailable',
        'signature-invalid',
        'digest-mismatch',
        'no-space',
        'node-storage',
        'timeout',
        'cancelled',
        'back-off',
        'runtime-unavailable',
        'unknown',
      ],
      'Class of the failure.',
    ),
    attempts: count(
      'PullImage calls made, one for each credential tried; 0 when it failed before the runtime was asked.',
    ),
    credentials: z
      .array(triedCredential)
      .max(50)
      .describe('The credentials tried, in order, with how each failed; source and hash only.')
      .optional(),
    credentialProblems,
    durationMs: milliseconds('Time from the request to the failure.'),
    retryAfter: timestamp('Before this time the same pull is refused (back-off).').optional(),
    runtimeHandler,
    pod: pod.optional(),
  }),
  example: {
    subject: 'registry.example:5000/team/private:2',
    data: {
      pullId: '01KAJB41A3C5E7G9J1M3P5R7T9',
      requestedReference: 'registry.example:5000/team/private:2',
      reference: 'registry.example:5000/team/private:2',
      error: {
        code: 'unauthorized',
        grpcStatus: 'UNKNOWN',
        message: 'failed to resolve reference: pull access denied, authorization failed',
      },
      attempts: 1,
      credentials: [{ source: 'none', result: 'unauthorized' }],
      durationMs: 84,
    },
  },
});
