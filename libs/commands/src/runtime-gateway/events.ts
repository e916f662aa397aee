import { eventsOf, exampleEvent } from '../events';

/** The last events of runtime-gateway. */
export const events = eventsOf(
  'runtime-gateway',
  exampleEvent('runtime-gateway', 'ContainerRemoved', 'a71e', {
    containerId: 'a71e',
    podSandboxId: '5c9f',
    observedBy: 'call',
  }),
);
