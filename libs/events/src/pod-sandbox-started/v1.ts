import * as z from 'zod';
import { defineEvent } from '../define-event';
import { count, milliseconds, observedBy, pod, text } from '../fields';

export const podSandboxStartedV1 = defineEvent({
  name: 'PodSandboxStarted',
  version: 1,
  entity: 'sandbox',
  event: 'started',
  publishers: ['runtime-gateway'],
  description: 'A pod sandbox was created and is running.',
  subjectHolds: 'the pod sandbox id',
  data: z.looseObject({
    podSandboxId: text('Pod sandbox ID.'),
    pod,
    attempt: count('How often a sandbox was created before for this pod.').optional(),
    runtimeHandler: text('Runtime handler it runs with; absent for the default one.').optional(),
    durationMs: milliseconds(
      'How long the runtime took to start it; absent when not observed as a call.',
    ).optional(),
    observedBy,
  }),
  example: {
    subject: '5f2c1c9f9c7d4c0a8b8e6f1d2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d',
    data: {
      podSandboxId: '5f2c1c9f9c7d4c0a8b8e6f1d2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d',
      pod: { namespace: 'shop', name: 'cart-0', uid: '4a1c2f6e-5d57-4a0e-9c43-0f1f4f6f8a11' },
      attempt: 0,
      durationMs: 412,
      observedBy: 'call',
    },
  },
});
