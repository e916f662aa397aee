import * as z from 'zod';
import { defineCommand } from '../define-command';
import { bytes, milliseconds, text } from '../fields';
import { imageArgument } from './fields';

/** When an image is pulled, in Kubernetes' words. */
export const pullPolicies = ['Always', 'IfNotPresent', 'Never'] as const;

/** Priorities that a caller may give; more is sooner. */
export const pullPriorities = { min: -1000, max: 1000 } as const;

/** Thirty days: a hold outlives the one that asked for it, and somebody has to clean up. */
const maxHoldSeconds = 30 * 86_400;

/** A pod UID has 36 characters; namespace and name together 317. */
const maxCallerLength = 512;

const auth = z.strictObject({
  username: z.string().optional().describe('With `password`'),
  password: z.string().optional().describe('With `username`'),
  auth: z.string().optional().describe('Both, as base64 of `username:password`'),
  serverAddress: z.string().optional().describe('Registry they are for, as in docker config files'),
  identityToken: z.string().optional().describe('Token that the registry exchanges for another'),
  registryToken: z.string().optional().describe('Bearer token sent to the registry as it is'),
});

/** An image that is to be on the node. */
export const ensure = defineCommand({
  app: 'image-service',
  verb: 'ensure',
  description: 'Pulls the image unless it is there already, by the pull policy.',
  answered: 'by-default',
  limitMs: 'own', // by progress of the pull
  input: z
    .strictObject({
      image: imageArgument,
      pullPolicy: z
        .enum(pullPolicies)
        .optional()
        .describe('Absent: Always for the tag `latest`, else IfNotPresent'),
      auth: auth.optional().describe('Credentials for this pull, in place of those of the node'),
      credentialsRef: z
        .string()
        .min(1)
        .max(maxCallerLength)
        .optional()
        .describe('`namespace/name` of a mounted pull secret that alone is used; not with `auth`'),
      caller: z
        .string()
        .min(1)
        .max(maxCallerLength)
        .optional()
        .describe('For whom back-off counts, such as a pod UID'),
      priority: z
        .int()
        .min(pullPriorities.min)
        .max(pullPriorities.max)
        .optional()
        .describe('Place in the queue of pulls; more is sooner'),
      holdSeconds: z
        .int()
        .min(0)
        .max(maxHoldSeconds)
        .optional()
        .describe('How long gc-worker does not collect the image'),
    })
    .refine((input) => input.auth === undefined || input.credentialsRef === undefined, {
      path: ['credentialsRef'],
      message: 'not together with auth',
    }),
  reply: z.object({
    imageRef: text('What to create containers with.'),
    imageId: text('Image id as the runtime reports it.'),
    pulled: z.boolean().describe('False when the image was there already.'),
    bytes: bytes('Size that the runtime reports; 0 when it does not.'),
    durationMs: milliseconds('How long it took.'),
  }),
  example: {
    input: { image: 'nginx:1.25', holdSeconds: 3600 },
    reply: {
      imageRef: 'sha256:2b7d6430',
      imageId: 'sha256:2b7d6430',
      pulled: true,
      bytes: 71300000,
      durationMs: 3100,
    },
  },
});
