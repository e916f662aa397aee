import { eventsOf, exampleEvent } from '../events';

/** The last events of docker-shim. */
export const events = eventsOf(
  'docker-shim',
  exampleEvent('docker-shim', 'RuntimeUnavailable', 'unix:///var/run/docker.sock', {
    endpoint: 'unix:///var/run/docker.sock',
    reason: 'connect ENOENT /var/run/docker.sock',
  }),
);
