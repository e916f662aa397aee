import { eventsOf, exampleEvent } from '../events';

/** The last events of image-service. */
export const events = eventsOf(
  'image-service',
  exampleEvent('image-service', 'ImageEnsured', 'sha256:9c7a54a9', {
    requestedReference: 'redis:7',
    reference: 'docker.io/library/redis:7',
    imageId: 'sha256:9c7a54a9',
  }),
);
