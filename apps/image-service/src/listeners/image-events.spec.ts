import { assertEventData } from '@stowage/events';
import type { EventData, EventName } from '@stowage/events';
import { Image } from '@stowage/cri-proto';
import { InvalidImageNameError } from '@stowage/errors';
import { imageEvents } from './image-events';

interface Published {
  name: EventName;
  subject: string;
  data: unknown;
  time?: Date;
}

function events() {
  const published: Published[] = [];
  const listeners = imageEvents((name, { subject, data, time }) => {
    const wire = JSON.parse(JSON.stringify(data)) as EventData<typeof name>;
    assertEventData(name, wire);
    published.push({ name, subject, data: wire, ...(time && { time }) });
  });
  return { published, listeners };
}

const pull = {
  id: 'p1',
  requestedReference: 'nginx:1',
  reference: 'docker.io/library/nginx:1',
  pod: { namespace: 'n', name: 'p', uid: 'u' },
  holdUntil: new Date(0),
};
const hash = 'a'.repeat(64);

describe('events of image-service', () => {
  it('ImagePullStarted names pull, references, pod and hold', () => {
    const { published, listeners } = events();
    listeners.pull?.started?.(pull);
    expect(published).toEqual([
      {
        name: 'ImagePullStarted',
        subject: 'docker.io/library/nginx:1',
        data: {
          pullId: 'p1',
          requestedReference: 'nginx:1',
          reference: 'docker.io/library/nginx:1',
          pod: { namespace: 'n', name: 'p', uid: 'u' },
          holdUntil: '1970-01-01T00:00:00.000Z',
        },
      },
    ]);
  });

  it("ImagePulled names id, the reference's own digest, size, attempts and credential", () => {
    const { published, listeners } = events();
    listeners.pull?.succeeded?.(pull, {
      response: { imageRef: 'sha256:1' },
      image: Image.fromPartial({
        id: 'sha256:1',
        size: 5n,
        repoDigests: ['other.io/x@sha256:9', 'docker.io/library/nginx@sha256:8'],
      }),
      credential: { source: 'docker-config', name: '/root/.docker/config.json', hash },
      attempts: 2,
      failedAttempts: [{ source: 'kubernetes-secret', name: 'shop/pull', hash, result: 'timeout' }],
      durationMs: 12.6,
      endedAt: new Date(5),
      waitedMs: 3.4,
    });
    expect(published).toMatchObject([
      {
        name: 'ImagePulled',
        subject: 'sha256:1',
        time: new Date(5),
        data: {
          imageRef: 'sha256:1',
          imageId: 'sha256:1',
          repoDigest: 'docker.io/library/nginx@sha256:8',
          sizeBytes: 5,
          durationMs: 13,
          waitedMs: 3,
          attempts: 2,
          credential: { source: 'docker-config', name: '/root/.docker/config.json', hash },
          failedAttempts: [
            { source: 'kubernetes-secret', name: 'shop/pull', hash, result: 'timeout' },
          ],
        },
      },
    ]);
  });

  it('ImagePulled does without an id that the runtime did not report', () => {
    const { published, listeners } = events();
    listeners.pull?.succeeded?.(pull, {
      response: { imageRef: 'ref' },
      credential: { source: 'none' },
      attempts: 1,
      durationMs: 1,
      waitedMs: 0,
      endedAt: new Date(5),
    });
    expect(published[0]?.subject).toBe('ref');
    expect(published[0]?.data).not.toHaveProperty('imageId');
  });

  it('ImagePullFailed names the class, the status, the text and what was tried', () => {
    const { published, listeners } = events();
    listeners.pull?.failed?.(pull, {
      error: Object.assign(new Error('denied: no'), { grpcStatus: 'UNKNOWN' }),
      errorClass: 'unauthorized',
      attempts: 1,
      credentials: [{ source: 'request', hash, result: 'unauthorized' }],
      durationMs: 3,
    });
    expect(published).toMatchObject([
      {
        name: 'ImagePullFailed',
        subject: 'docker.io/library/nginx:1',
        data: {
          error: { code: 'unauthorized', grpcStatus: 'UNKNOWN', message: 'denied: no' },
          attempts: 1,
          credentials: [{ source: 'request', hash, result: 'unauthorized' }],
        },
      },
    ]);
  });

  it.each([
    ['a name that does not parse', 'A:1', 'A:1'],
    ['no name at all', '', '(none)'],
    ['a name without end', 'A'.repeat(100_000), `${'A'.repeat(511)}…`],
  ])('ImagePullFailed is valid for %s', (_what, requestedReference, subject) => {
    const { published, listeners } = events();
    listeners.pull?.failed?.(
      { id: 'p1', requestedReference },
      {
        error: new InvalidImageNameError(requestedReference, 'rule'),
        errorClass: 'invalid-reference',
        attempts: 0,
        credentials: [],
        durationMs: 0,
      },
    );
    expect(published[0]?.subject).toBe(subject);
  });

  it('ImageRemoved and ImageEnsured say who, why and what', () => {
    const { published, listeners } = events();
    const image = Image.fromPartial({ id: 'sha256:1', repoTags: ['a:1'], size: 5n });
    listeners.remove?.removed?.({ requestedReference: 'a:1', image });
    listeners.ensure?.present?.({
      requestedReference: 'a:1',
      reference: 'docker.io/library/a:1',
      image,
      pullPolicy: 'Never',
    });
    expect(published).toMatchObject([
      {
        name: 'ImageRemoved',
        data: {
          removedBy: 'image-service',
          reason: 'request',
          repoTags: ['a:1'],
          expectedBytes: 5,
        },
      },
      { name: 'ImageEnsured', data: { imageId: 'sha256:1', pullPolicy: 'Never', sizeBytes: 5 } },
    ]);
  });
});
