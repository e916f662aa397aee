import { eventsOf, exampleEvent } from '../events';

/** The last events of gc-worker. */
export const events = eventsOf(
  'gc-worker',
  exampleEvent('gc-worker', 'ImageDetected', 'sha256:9c7a54a9', {
    imageId: 'sha256:9c7a54a9',
    repoTags: ['docker.io/library/redis:7'],
    repoDigests: [],
    sizeBytes: 45000000,
    pinned: false,
    inUse: true,
    firstDetected: '2026-11-20T22:12:00.000Z',
  }),
);
