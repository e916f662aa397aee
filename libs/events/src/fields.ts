import * as z from 'zod';

/*
 * Building blocks of the event schemas. Every object is loose, so that a consumer built today
 * accepts the optional fields of tomorrow. Word lists that can grow are open: known values are
 * typed and documented, others pass. Counts and byte sizes are JSON numbers within the safe integer
 * range (up to 9 PB).
 */

/**
 * Longest error text an event carries, in UTF-16 code units. Publishers cut with
 * {@link boundedText}.
 */
export const maxMessageLength = 2048;

/**
 * Most images (or failures) an event lists one by one; the counts beside the list are always
 * complete.
 */
export const maxListedImages = 200;

/** Cuts a text to `maxLength`, marking the cut with an ellipsis. */
export function boundedText(text: string, maxLength: number = maxMessageLength): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`;
}

/** A known value, or one that a later version adds: consumers keep a default branch. */
export type Open<Known extends string> = Known | (string & Record<never, never>);

/** Non-empty text. */
export const text = (description: string) => z.string().min(1).describe(description);

/** Error text, at most {@link maxMessageLength}. */
export const message = (description: string) =>
  z.string().max(maxMessageLength).describe(description);

/** A count or an amount that cannot be negative, as a safe integer. */
export const count = (description: string) => z.int().nonnegative().describe(description);

/** Bytes, never negative, as a safe integer. */
export const bytes = count;

/** Bytes that may be negative, for measured differences. */
export const signedBytes = (description: string) => z.int().describe(description);

/** Milliseconds, never negative. */
export const milliseconds = count;

/** Integer percentage, 0 to 100. */
export const percent = (description: string) => z.int().min(0).max(100).describe(description);

const rfc3339 =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/;

/** RFC 3339 time with zone, as in `2026-11-20T22:12:00.000Z`. */
export const timestamp = (description: string) =>
  z
    .string()
    .refine((value) => rfc3339.test(value), 'must be an RFC 3339 time with zone')
    .meta({ description, format: 'date-time' });

/** A word from a list that later versions may extend. */
export function openWord<const Known extends string>(known: readonly Known[], description: string) {
  const schema = z
    .string()
    .min(1)
    .meta({
      description: `${description} Known values: ${known.join(', ')}; later versions may add more.`,
      examples: [...known],
    });
  return schema as unknown as z.ZodType<Open<Known>, Open<Known>>;
}

/** What the platform calls the pod; taken from the sandbox's metadata. */
export const pod = z
  .looseObject({
    namespace: z.string().describe('Kubernetes namespace; may be empty outside Kubernetes.'),
    name: z.string().describe('Pod name.'),
    uid: z.string().describe('Pod UID; may be empty outside Kubernetes.'),
  })
  .describe('The pod, from the metadata of its sandbox.');

/** A credential as events may describe it: where it came from, never what it is. */
export const credential = z
  .looseObject({
    source: openWord(
      [
        'none',
        'request',
        'docker-config',
        'kubernetes-secret',
        'service-account',
        'credential-helper',
        'credential-provider',
      ],
      'Where the credential came from; `none` means an anonymous pull.',
    ),
    name: text(
      'Name within the source: file path, `namespace/name` of the secret or account, or name of the plugin.',
    ).optional(),
    hash: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
      .describe(
        "SHA-256 of the credential in kubelet's form (lower-case hex), to distinguish credentials; never the secret. Absent for `none`.",
      )
      .optional(),
  })
  .describe('Which credential was used, by source and hash; no secret.');

/** How one attempt of a pull with a credential ended. */
const attemptResults = [
  'success',
  'unauthorized',
  'not-found',
  'rate-limited',
  'registry-unavailable',
  'signature-invalid',
  'digest-mismatch',
  'no-space',
  'node-storage',
  'timeout',
  'cancelled',
  'runtime-unavailable',
  'unknown',
] as const;

/** A credential that was tried, with what came of it. */
export const triedCredential = credential
  .extend({
    result: openWord(attemptResults, 'How the attempt with this credential ended.').optional(),
  })
  .describe('A credential that was tried, by source and hash, with its result; no secret.');

/** A source of credentials that a pull had to do without. */
export const credentialProblem = z
  .looseObject({
    source: openWord(
      ['docker-config', 'kubernetes-secret', 'credential-helper', 'credential-provider'],
      'Kind of the source.',
    ),
    name: text('Path, `namespace/name` of the secret, helper or plugin.'),
    reason: message('What is wrong with it, without secrets.'),
  })
  .describe('A credential source that could not be used; the pull continued without it.');

/** Most of them that an event lists. */
export const maxCredentialProblems = 20;

/** Sources found broken since the last pull that reported any. */
export const credentialProblems = z
  .array(credentialProblem)
  .max(maxCredentialProblems)
  .describe(
    'Credential sources found unusable when this pull looked for credentials; each is reported once for each change of the source.',
  )
  .optional();

const grpcStatusNames = [
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

/** gRPC status name; the list is closed, gRPC defines no others. */
export const grpcStatus = z.enum(grpcStatusNames).describe('gRPC status name.');

/** A failure: class for machines, text for people. */
export function failure<const Known extends string>(known: readonly Known[], codes: string) {
  return z
    .looseObject({
      code: openWord(known, codes),
      grpcStatus,
      message: message(
        `Text for people, without secrets, at most ${String(maxMessageLength)} characters.`,
      ),
    })
    .describe('What went wrong.');
}

/** Names of an image as the runtime lists it. */
export const listedImage = {
  imageId: text('Image ID as the runtime reports it (`Image.id`), usually `sha256:…`.'),
  repoTags: z.array(z.string()).describe('Tags the runtime lists for the image; may be empty.'),
  repoDigests: z
    .array(z.string())
    .describe('Digested references the runtime lists for the image; may be empty.'),
};

/** The names a pull goes by. */
export const pullNames = {
  requestedReference: text(
    'Image as the caller named it; user information of a URL is left out, nothing else is changed.',
  ),
  reference: text(
    'Normalised reference with registry, repository and tag or digest, as in `docker.io/library/nginx:1.25`. A short name stays short, as in `nginx:1.25`, where the runtime looks for it in registries of its own configuration. An image that was asked for by id: the id.',
  ),
};

/** RuntimeClass handler, where images are kept per handler. */
export const runtimeHandler = text(
  'Runtime handler the image belongs to, where the runtime keeps images per handler.',
).optional();

/** Until when nobody may collect the image. */
export const holdUntil = timestamp(
  'The image is wanted: do not collect it before this time. Absent: no hold.',
).optional();

/** Usage of a file system at one point in time. */
export const filesystemUsage = z
  .looseObject({
    mountpoint: text('Mount point of the file system.'),
    capacityBytes: bytes('Size of the file system, bytes.'),
    availableBytes: bytes('Bytes available to unprivileged users.'),
    usedPercent: percent(
      'Used share as kubelet counts it: 100 − trunc(available × 100 ÷ capacity), so 10.9 % available is 90 % used.',
    ),
    inodesCapacity: count(
      'Number of inodes; absent where the file system has no fixed number.',
    ).optional(),
    inodesAvailable: count('Free inodes.').optional(),
    inodesUsedPercent: percent('Used share of inodes, counted like `usedPercent`.').optional(),
  })
  .describe('A file system that the runtime keeps images or containers on.');

/** What the bytes in use on a file system belong to. */
export const filesystemBreakdown = z
  .looseObject({
    usedBytes: bytes('Bytes that files take; blocks reserved for root are not included.'),
    imageBytes: bytes('Bytes that images hold, packed and unpacked.'),
    containerBytes: bytes('Bytes that containers wrote on top of their images.'),
    otherBytes: bytes('All other bytes: logs, volumes, files of other programs.'),
    imagesSuffice: z
      .boolean()
      .describe(
        'Whether the file system would be down at its low threshold of bytes without any image, those in use included; absent while it is down there.',
      )
      .optional(),
  })
  .describe(
    'What the bytes in use belong to, by the accounts of file system and runtime; the three parts sum to `usedBytes`. Absent where the runtime does not report enough.',
  );

/** Which limit is meant. */
export const thresholdMark = {
  role: openWord(
    ['image', 'container'],
    'What the runtime keeps on the file system: images (perhaps also containers), or only containers; then removing images frees nothing and no collection starts. Absent: images.',
  ).optional(),
  resource: openWord(['bytes', 'inodes'], 'What runs short.'),
  mark: openWord(
    ['warning', 'high', 'critical'],
    'Which threshold was crossed: at `high` collection starts; at `critical` maintenance windows no longer delay it.',
  ),
  thresholdPercent: percent('The threshold, percent used.'),
  thresholdAvailableBytes: bytes(
    'The threshold as available bytes, where it is set so; `thresholdPercent` is then the resulting percentage.',
  ).optional(),
};

/** Why a collection was run. */
export const collectionTrigger = openWord(
  ['threshold', 'max-age', 'request', 'eviction', 'period'],
  'Why the collection was run; `period` is a periodic check that failed.',
);

/** Why an image was removed. */
export const removalReason = openWord(
  ['threshold', 'max-age', 'request', 'vanished'],
  'Why it was removed; `vanished` means that somebody else removed it.',
);

/**
 * The numbers of a collection; in GarbageCollected all are known, in GarbageCollectionFailed as
 * many as were reached.
 */
export const collectionFigures = {
  askedBytes: bytes(
    'Bytes the collection was asked to free; absent when no amount was asked (max-age, or everything unused).',
  ).optional(),
  expectedBytes: bytes(
    'Bytes the removed images were expected to free, in the sizes the runtime reports; layers shared with remaining images are left out as far as the runtime reports them.',
  ),
  measuredBytes: signedBytes(
    'Growth of the available bytes of the file system over the collection; negative when others wrote more than was freed. Absent when it could not be measured.',
  ).optional(),
  removedCount: count('Number of images removed.'),
  removed: z
    .array(
      z.looseObject({
        imageId: listedImage.imageId,
        repoTags: z.array(z.string()).describe('Tags it had.'),
        sizeBytes: bytes('Size the runtime reported.'),
        reason: removalReason,
        idleMs: milliseconds('Time since last use; absent when never seen in use.').optional(),
      }),
    )
    .max(maxListedImages)
    .describe(`The images removed, in order; at most ${String(maxListedImages)} are listed.`),
  keptCount: count('Number of images that remain.'),
  keptByReason: z
    .record(z.string(), count('Number of images kept for this reason.'))
    .describe(
      'Number of images kept by the rule that decided, as in `{"in-use": 4, "pinned": 1, "min-age": 2}`; sums to `keptCount`.',
    ),
  failures: z
    .array(
      z.looseObject({
        imageId: listedImage.imageId,
        grpcStatus,
        message: message('Why the removal failed.'),
      }),
    )
    .max(maxListedImages)
    .describe(`Images that could not be removed; at most ${String(maxListedImages)} are listed.`)
    .optional(),
  before: filesystemUsage.describe('The file system before the collection.').optional(),
  after: filesystemUsage.describe('The file system after the collection.').optional(),
  breakdown: filesystemBreakdown
    .describe(
      'What the bytes in use on the file system of `before` belonged to before a collection by threshold. Absent where the runtime does not report enough.',
    )
    .optional(),
  startedAt: timestamp('When the collection began.'),
  durationMs: milliseconds('How long it took, the measurement included.'),
  leakedBytes: bytes(
    'Bytes in use that neither known images nor containers account for, measured when clearly less was freed than expected; they include other files on the same file system.',
  ).optional(),
  limitedBy: text(
    'The limit that ended the run before everything was freed, in words; absent when none did.',
  ).optional(),
};

/** How a change in the runtime became known. */
export const observedBy = openWord(
  ['call', 'runtime-event', 'listing'],
  "How the change became known: a call through the gateway, the runtime's own event stream, or comparison of two listings (then `time` is when it was seen, unless the runtime has a time for it).",
);

/** Image of a container. */
export const containerImage = z
  .looseObject({
    reference: text(
      'Image as the container was created with (`ImageSpec.image`): often already an image ID.',
    ),
    userSpecifiedReference: text(
      'Image as the user wrote it (`ImageSpec.user_specified_image`).',
    ).optional(),
    imageId: text('Image ID, where the runtime reports it (`Container.image_id`).').optional(),
    runtimeHandler,
  })
  .describe('The image the container runs.');

/** Names of a container within its pod; it has them before it has an ID. */
export const containerInPod = {
  pod: pod.optional(),
  name: text('Container name within the pod.').optional(),
  attempt: count('How often the container was created before in this pod.').optional(),
};

/** Names of a container. */
export const containerNames = {
  containerId: text('Container ID.'),
  podSandboxId: text('ID of its pod sandbox.').optional(),
  ...containerInPod,
};
