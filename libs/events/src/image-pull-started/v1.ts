import * as z from 'zod';
import { defineEvent } from '../define-event';
import { holdUntil, pod, pullNames, runtimeHandler, text } from '../fields';

export const imagePullStartedV1 = defineEvent({
  name: 'ImagePullStarted',
  version: 1,
  entity: 'image',
  event: 'pull-started',
  publishers: ['image-service'],
  description:
    'A pull was sent to the runtime. Exactly one ImagePulled or ImagePullFailed with the same pullId follows, unless the service is killed.',
  subjectHolds: 'the normalised image reference (no image id is known yet)',
  data: z.looseObject({
    pullId: text('Identifies this pull; the event that ends it carries the same value.'),
    ...pullNames,
    runtimeHandler,
    pod: pod.optional(),
    holdUntil,
  }),
  example: {
    subject: 'registry.example:5000/team/app:1.4',
    data: {
      pullId: '01KAJB3N5Z7V9R1T3W5Y7A9C1E',
      requestedReference: 'registry.example:5000/team/app:1.4',
      reference: 'registry.example:5000/team/app:1.4',
      pod: { namespace: 'shop', name: 'cart-0', uid: '4a1c2f6e-5d57-4a0e-9c43-0f1f4f6f8a11' },
    },
  },
});
