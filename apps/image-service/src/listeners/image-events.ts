import { randomUUID } from 'node:crypto';
import { errorMessage, toGrpcStatus } from '@stowage/errors';
import { boundedText } from '@stowage/events';
import type { EventData, EventName } from '@stowage/events';
import { normalizeReference, repositoryName } from '@stowage/image-ref';
import type { CredentialProblem } from '../credentials/credentials';
import type { RuntimeImage } from '../runtime/image-runtime';
import type { ImageListeners } from './listeners';
import type { FailedPull, Pull, PulledImage, TriedCredential } from '../pull/pull';

/** Puts an event into the outbox; the event bus's `publish` fits. */
export type Publish = <N extends EventName>(
  name: N,
  event: { subject: string; data: EventData<N>; traceparent?: string; time?: Date },
) => unknown;

/** Longest list of credentials in an event. */
const maxCredentials = 50;

/** Publishes events about pulls, ensures and removals on request. */
export function imageEvents(publish: Publish, newId: () => string = randomUUID): ImageListeners {
  return {
    pull: {
      started: (pull) => {
        publish('ImagePullStarted', {
          subject: pull.reference ?? pull.requestedReference,
          data: {
            ...pullFields(pull),
            reference: pull.reference ?? pull.requestedReference,
            holdUntil: pull.holdUntil?.toISOString(),
          },
          traceparent: pull.traceparent,
        });
      },
      succeeded: (pull, pulled) => {
        publish('ImagePulled', {
          subject: pulled.image?.id ?? pulled.response.imageRef,
          data: pulledData(pull, pulled),
          traceparent: pull.traceparent,
          time: pulled.endedAt,
        });
      },
      progressed: (pull, progress) => {
        const { requestedReference, pullId, pod } = pullFields(pull);
        const reference = pull.reference ?? requestedReference;
        publish('ImagePullProgress', {
          subject: reference,
          data: { pullId, requestedReference, reference, pod, ...progress },
          traceparent: pull.traceparent,
        });
      },
      failed: (pull, failure) => {
        // The subject cannot be empty; the schema of the requested reference neither.
        const requested = pull.requestedReference === '' ? '(none)' : pull.requestedReference;
        publish('ImagePullFailed', {
          subject: boundedText(pull.reference ?? requested, 512),
          data: failedData({ ...pull, requestedReference: requested }, failure),
          traceparent: pull.traceparent,
        });
      },
    },
    remove: {
      removed: ({ requestedReference, image, traceparent }) => {
        publish('ImageRemoved', {
          subject: image.id,
          data: {
            imageId: image.id,
            repoTags: image.repoTags,
            repoDigests: image.repoDigests,
            requestedReference,
            removedBy: 'image-service',
            reason: 'request',
            expectedBytes: Number(image.size),
            runtimeHandler: handlerOf(image),
          },
          traceparent,
        });
      },
    },
    ensure: {
      backedOff: ({ requestedReference, reference, retryAfter, error, traceparent }) => {
        publish('ImagePullFailed', {
          subject: boundedText(reference, 512),
          data: {
            pullId: newId(),
            requestedReference: boundedText(requestedReference),
            reference,
            error: {
              code: 'back-off',
              grpcStatus: error.grpcStatus,
              message: boundedText(error.message),
            },
            attempts: 0,
            durationMs: 0,
            retryAfter: retryAfter.toISOString(),
          },
          traceparent,
        });
      },
      present: ({ requestedReference, reference, image, pullPolicy, holdUntil, traceparent }) => {
        publish('ImageEnsured', {
          subject: image.id,
          data: {
            requestedReference,
            reference,
            imageId: image.id,
            repoDigest: repoDigestFor(reference, image),
            sizeBytes: Number(image.size),
            pullPolicy,
            runtimeHandler: handlerOf(image),
            holdUntil: holdUntil?.toISOString(),
          },
          traceparent,
        });
      },
    },
  };
}

function pullFields({ id, requestedReference, runtimeHandler, pod }: Pull) {
  return {
    pullId: id,
    requestedReference: boundedText(requestedReference),
    runtimeHandler,
    pod: pod === undefined ? undefined : { namespace: pod.namespace, name: pod.name, uid: pod.uid },
  };
}

function pulledData(
  pull: Pull,
  { response, image, credential, attempts, durationMs, waitedMs, ...more }: PulledImage,
): EventData<'ImagePulled'> {
  const reference = pull.reference ?? pull.requestedReference;
  return {
    ...pullFields(pull),
    reference,
    imageRef: response.imageRef,
    imageId: image?.id,
    repoDigest: image === undefined ? undefined : repoDigestFor(reference, image),
    sizeBytes: image === undefined ? undefined : Number(image.size),
    durationMs: Math.round(durationMs),
    waitedMs: Math.round(waitedMs),
    attempts,
    credential: { ...credential },
    failedAttempts: triedOf(more.failedAttempts),
    credentialProblems: problemsOf(more.credentialProblems),
    holdUntil: pull.holdUntil?.toISOString(),
  };
}

function failedData(
  pull: Pull,
  { error, errorClass, attempts, credentials, durationMs, credentialProblems }: FailedPull,
): EventData<'ImagePullFailed'> {
  return {
    ...pullFields(pull),
    reference: pull.reference,
    error: {
      code: errorClass,
      grpcStatus: toGrpcStatus(error).name,
      message: boundedText(errorMessage(error)),
    },
    attempts,
    credentials: triedOf(credentials) ?? [],
    credentialProblems: problemsOf(credentialProblems),
    durationMs: Math.round(durationMs),
  };
}

const triedOf = (tried: readonly TriedCredential[] = []) =>
  tried.length === 0
    ? undefined
    : tried
        .slice(0, maxCredentials)
        .map(({ source, name, hash, result }) => ({ source, name, hash, result }));

const problemsOf = (problems: readonly CredentialProblem[] = []) =>
  problems.length === 0
    ? undefined
    : problems.map(({ source, name, reason }) => ({ source, name, reason: boundedText(reason) }));

const handlerOf = ({ spec }: RuntimeImage): string | undefined =>
  (spec?.runtimeHandler ?? '') === '' ? undefined : spec?.runtimeHandler;

/** The digest the image is known by under the repository of `reference`, else any. */
function repoDigestFor(reference: string, { repoDigests }: RuntimeImage): string | undefined {
  const repository = repositoryOf(reference);
  const named = repoDigests.find((digest) => repositoryOf(digest) === repository);
  return named ?? repoDigests[0];
}

/**
 * Undefined for an image id, which stands in no repository, and for what a runtime lists without a
 * name.
 */
function repositoryOf(reference: string): string | undefined {
  if (reference.startsWith('sha256:')) return undefined;
  try {
    const [name = ''] = reference.split('@', 1);
    return repositoryName(normalizeReference(name));
  } catch {
    return undefined;
  }
}
