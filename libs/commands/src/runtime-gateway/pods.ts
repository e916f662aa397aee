import * as z from 'zod';
import { defineCommand } from '../define-command';
import { count, openWord, text, timestamp } from '../fields';

const createdAt = timestamp(
  'When it was created; absent when the runtime does not say.',
).optional();

/** Pods with sandboxes and containers. */
export const pods = defineCommand({
  app: 'runtime-gateway',
  verb: 'pods',
  description: 'Lists pods with their sandboxes and containers (kubelet’s GetPods).',
  answered: 'by-default',
  input: z.strictObject({
    all: z
      .boolean()
      .optional()
      .describe('Everything the runtime lists; else ready sandboxes and running containers'),
  }),
  reply: z.object({
    pods: z
      .array(
        z.object({
          namespace: text('Kubernetes namespace; may be empty outside Kubernetes.'),
          name: text('Pod name; empty for containers whose sandbox is not listed.'),
          uid: text('Pod UID; may be empty outside Kubernetes.'),
          createdAt,
          sandboxes: z
            .array(
              z.object({
                id: text('Sandbox id.'),
                state: openWord(['ready', 'notready'], 'State.'),
                attempt: count('How often it was replaced.'),
                runtimeHandler: text('RuntimeClass handler; absent for the default.').optional(),
                createdAt,
              }),
            )
            .describe('Sandboxes, newest first.'),
          containers: z
            .array(
              z.object({
                id: text('Container id.'),
                podSandboxId: text('Its sandbox.'),
                name: text('Name within the pod.'),
                attempt: count('How often it was started again.'),
                state: openWord(['created', 'running', 'exited', 'unknown'], 'State.'),
                image: z
                  .object({
                    reference: text('Image as the container names it.'),
                    userSpecifiedReference: text('Image as the pod names it.').optional(),
                    imageId: text('Image id, where the runtime shows one.').optional(),
                    runtimeHandler: text('Handler for which the image was pulled.').optional(),
                  })
                  .describe('Its image; absent when the runtime does not say.')
                  .optional(),
                imageRef: text('What the runtime calls the image.'),
                createdAt,
              }),
            )
            .describe('Containers, newest first.'),
        }),
      )
      .describe('Pods, newest first.'),
  }),
  example: {
    input: { all: true },
    reply: {
      pods: [
        {
          namespace: 'shop',
          name: 'cache-0',
          uid: '0b5b3c1e-6f5b-4a53-9c38-6d5d1f7e2a10',
          createdAt: '2026-11-20T22:12:00.000Z',
          sandboxes: [
            { id: '5c9f', state: 'ready', attempt: 0, createdAt: '2026-11-20T22:12:00.000Z' },
          ],
          containers: [
            {
              id: 'a71e',
              podSandboxId: '5c9f',
              name: 'cache',
              attempt: 0,
              state: 'running',
              image: { reference: 'docker.io/library/redis:7', imageId: 'sha256:9c7a54a9' },
              imageRef: 'sha256:9c7a54a9',
              createdAt: '2026-11-20T22:12:01.000Z',
            },
          ],
        },
      ],
    },
  },
});
