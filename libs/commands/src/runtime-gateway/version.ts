import * as z from 'zod';
import { defineCommand } from '../define-command';
import { noInput, openWord, text } from '../fields';

/** Versions of the runtime and of the gateway. */
export const version = defineCommand({
  app: 'runtime-gateway',
  verb: 'version',
  description: 'Returns name and version of the runtime, and the version of the gateway.',
  answered: 'by-default',
  input: noInput,
  reply: z.object({
    runtimeName: text('Name of the runtime, as in `containerd`.'),
    runtimeVersion: text('Its version.'),
    runtimeApiVersion: text('Version of the CRI that it reports.'),
    version: text('Version of kubelet’s runtime API that it reports.'),
    criVersion: openWord(['v1', 'v1alpha2'], 'CRI version that is spoken with it.').optional(),
    gatewayVersion: text('Version of the gateway.'),
  }),
  example: {
    input: {},
    reply: {
      runtimeName: 'containerd',
      runtimeVersion: '1.7.24',
      runtimeApiVersion: 'v1',
      version: '0.1.0',
      criVersion: 'v1',
      gatewayVersion: '0.1.0',
    },
  },
});
