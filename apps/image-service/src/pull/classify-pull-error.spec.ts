import {
  CancelledError,
  DeadlineExceededError,
  InvalidImageNameError,
  RuntimeUnavailableError,
  ShuttingDownError,
} from '@stowage/errors';
import fc from 'fast-check';
import { classifyPullError } from './classify-pull-error';
import type { PullErrorClass } from './classify-pull-error';

const runtimeSays = (message: string, grpcStatus = 'UNKNOWN') => ({ grpcStatus, message });
const image = '127.0.0.1:5000/team/app:1';

/** What users choose, put into the places of a text where runtimes and registries repeat it. */
interface Names {
  readonly host: string;
  readonly port: string;
  readonly team: string;
  readonly app: string;
  readonly tag: string;
  readonly digest: string;
}

const plain: Names = {
  host: 'registry.example',
  port: '5000',
  team: 'team',
  app: 'app',
  tag: '1.0',
  digest: 'a'.repeat(64),
};

const hub = (names: Names): Names => ({ ...names, host: 'docker.io' });

/**
 * Fills `HOST`, `PORT`, `TEAM`, `APP`, `TAG`, `DIGEST`, and with them `REF` (with tag), `NAME`
 * (without), `URL` (of the manifest).
 */
function fill(template: string, names: Names): string {
  const { host, port, team, app, tag, digest } = names;
  return template
    .replaceAll('REF', 'NAME:TAG')
    .replaceAll('NAME', 'HOST:PORT/TEAM/APP')
    .replaceAll('URL', 'https://HOST:PORT/v2/TEAM/APP/manifests/TAG')
    .replaceAll(/\b(HOST|PORT|TEAM|APP|TAG|DIGEST)\b/g, (slot) => {
      const filled = { HOST: host, PORT: port, TEAM: team, APP: app, TAG: tag, DIGEST: digest };
      return filled[slot as keyof typeof filled];
    });
}

const referenceOf = (names: Names) => fill('REF', names);

const pull = 'failed to pull and unpack image "REF": ';
const resolve = `${pull}failed to resolve reference "REF": `;
const unpack = `${pull}failed to unpack image on snapshotter overlayfs: `;
const crio = 'initializing source docker://REF: reading manifest TAG in NAME: ';
const crio137 = `unable to pull image or OCI artifact: pull image err: ${crio}`;
const docker = 'Error response from daemon: ';

/**
 * Texts as containerd 1.6, 1.7 and 2.x, CRI-O (containers/image) and Docker write them, with the
 * words of the registries.
 */
const texts: readonly (readonly [string, string, PullErrorClass])[] = [
  // Credentials
  [
    'containerd, no access',
    `${resolve}pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`,
    'unauthorized',
  ],
  [
    'containerd 1.7, 401',
    `${resolve}unexpected status from HEAD request to URL: 401 Unauthorized`,
    'unauthorized',
  ],
  [
    'containerd 2, 403 with the registry code',
    `${resolve}unexpected status from HEAD request to URL: 403 Forbidden\ndenied: requested access to the resource is denied`,
    'unauthorized',
  ],
  [
    'containerd 1.6, 403',
    `${resolve}unexpected status code [manifests TAG]: 403 Forbidden`,
    'unauthorized',
  ],
  [
    'containerd 1.4, 401',
    `${resolve}pulling from host HOST:PORT failed with status code [manifests TAG]: 401 Unauthorized`,
    'unauthorized',
  ],
  [
    'containerd, token refused',
    `${resolve}failed to authorize: failed to fetch oauth token: unexpected status from POST request to https://HOST/oauth2/token: 400 Bad Request`,
    'unauthorized',
  ],
  [
    'containerd, GHCR without access',
    `${resolve}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://HOST/token?scope=repository%3ATEAM%2FAPP%3Apull&service=HOST: 403 Forbidden`,
    'unauthorized',
  ],
  [
    'containerd, token service without such a path',
    `${resolve}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://HOST/token?scope=repository%3ATEAM%2FAPP%3Apull: 404 Not Found`,
    'unauthorized',
  ],
  [
    'containerd, basic auth',
    `${resolve}failed to authorize: no basic auth credentials`,
    'unauthorized',
  ],
  ['GHCR', `${crio}denied`, 'unauthorized'],
  ['GHCR, twice', `${crio}denied: denied`, 'unauthorized'],
  ['GitLab', `${crio}denied: access forbidden`, 'unauthorized'],
  [
    'Quay',
    `${crio}unauthorized: access to the requested resource is not authorized`,
    'unauthorized',
  ],
  [
    'Harbor',
    `${crio}unauthorized: unauthorized to access repository: TEAM/APP, action: pull: unauthorized to access repository: TEAM/APP, action: pull`,
    'unauthorized',
  ],
  [
    'Harbor, project of another',
    `${crio}unauthorized: project not found, name: TEAM: project not found, name: TEAM`,
    'unauthorized',
  ],
  [
    'ACR',
    `${crio}unauthorized: authentication required, visit https://aka.ms/acr/authorization for more information. CorrelationId: 429`,
    'unauthorized',
  ],
  [
    'ECR, expired',
    `${crio}denied: Your authorization token has expired. Reauthenticate and try again.`,
    'unauthorized',
  ],
  [
    'ECR, role without the right',
    `${crio}denied: User: arn:aws:sts::404404404404:assumed-role/APP/i-429 is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-west-1:404404404404:repository/TEAM/APP because no identity-based policy allows the ecr:BatchGetImage action`,
    'unauthorized',
  ],
  [
    'Artifact Registry',
    `${crio}denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on resource "projects/TEAM/locations/eu/repositories/APP" (or it may not exist)`,
    'unauthorized',
  ],
  [
    'CRI-O, user name and password',
    'initializing source docker://REF: unable to retrieve auth token: invalid username/password: unauthorized: authentication required',
    'unauthorized',
  ],
  [
    'CRI-O, page in place of JSON',
    `${crio}StatusCode: 403, "<html>\\r\\n<head><title>404 Not Found</title></head>..."`,
    'unauthorized',
  ],
  [
    'CRI-O, requesting a token',
    'initializing source docker://REF: requesting bearer token: invalid status code from registry 404 (Not Found)',
    'unauthorized',
  ],
  [
    'CRI-O 1.37, image and artifact',
    `${crio137}unauthorized: authentication required; artifact err: pull artifact: ${crio}manifest unknown`,
    'unauthorized',
  ],
  [
    'CRI-O, mirrors first',
    `(Mirrors also failed: [mirror.example/TEAM/APP:TAG: pinging container registry mirror.example: Get "https://mirror.example/v2/": dial tcp: connection refused]): REF: reading manifest TAG in NAME: unauthorized: authentication required`,
    'unauthorized',
  ],
  [
    'Docker',
    `${docker}pull access denied for APP, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
    'unauthorized',
  ],
  [
    'Docker, 401',
    `${docker}Head "URL": unauthorized: incorrect username or password`,
    'unauthorized',
  ],
  [
    'Docker, page in place of JSON',
    `${docker}error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: "<html><body><h1>429 Too many</h1></body></html>"`,
    'unauthorized',
  ],
  [
    'body in JSON alone',
    `${docker}could not properly parse response JSON: {"errors":[{"code":"UNAUTHORIZED","message":"UnAuthorized"}]}`,
    'unauthorized',
  ],
  // No such image
  ['containerd', `${resolve}REF: not found`, 'not-found'],
  ['containerd 2', `${pull}failed to resolve image: REF: not found`, 'not-found'],
  ['containerd 1.2', `${pull}failed to resolve reference "REF": not found`, 'not-found'],
  ['containerd 1.6, 404', `${resolve}unexpected status code URL: 404 Not Found`, 'not-found'],
  [
    'containerd, blob that the registry lost',
    `${pull}failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:DIGEST (application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found`,
    'not-found',
  ],
  [
    'containerd 2, blob that the registry lost',
    `${pull}failed to copy: httpReadSeeker: failed open: content at https://HOST:PORT/v2/TEAM/APP/blobs/sha256:DIGEST not found: not found`,
    'not-found',
  ],
  [
    'containerd, other platform',
    `${pull}no match for platform in manifest: not found`,
    'not-found',
  ],
  [
    'CRI-O, other platform',
    'choosing an image from manifest list docker://REF: no image found in image index for architecture "arm64", variant "v8", OS "linux"',
    'not-found',
  ],
  [
    'CRI-O, other platform in a Docker list',
    'choosing an image from manifest list docker://REF: no image found in manifest list for architecture "arm64", variant "v8", OS "linux"',
    'not-found',
  ],
  [
    'Docker, other platform',
    `${docker}no matching manifest for linux/arm64/v8 in the manifest list entries`,
    'not-found',
  ],
  ['CRI-O', `${crio}manifest unknown`, 'not-found'],
  ['CRI-O, distribution', `${crio}manifest unknown: manifest unknown`, 'not-found'],
  [
    'CRI-O 1.37',
    `${crio137}manifest unknown; artifact err: pull artifact: ${crio}manifest unknown`,
    'not-found',
  ],
  [
    'CRI-O, no repository',
    `${crio}name unknown: repository name not known to registry`,
    'not-found',
  ],
  ['CRI-O, page of a proxy', `${crio}StatusCode: 404, "404 page not found\\n"`, 'not-found'],
  ['Harbor, tag', `${crio}unknown: artifact TEAM/APP:TAG not found`, 'not-found'],
  ['Harbor, project', `${crio}unknown: project TEAM not found`, 'not-found'],
  [
    'ECR, repository',
    `${crio}name unknown: The repository with name 'TEAM/APP' does not exist in the registry with id '401401401401'`,
    'not-found',
  ],
  ['ECR, tag', `${crio}manifest unknown: Requested image not found`, 'not-found'],
  ['ACR', `${crio}manifest unknown: manifest tagged by "TAG" is not found`, 'not-found'],
  [
    'Container Registry',
    `${crio}manifest unknown: Failed to fetch "TAG" from request "/v2/TEAM/APP/manifests/TAG".`,
    'not-found',
  ],
  ['Artifact Registry', `${crio}name unknown: Repository "APP" not found`, 'not-found'],
  [
    'Artifactory',
    `${crio}manifest unknown: The named manifest is not known to the registry.`,
    'not-found',
  ],
  [
    'Docker',
    `${docker}manifest for APP:TAG not found: manifest unknown: manifest unknown`,
    'not-found',
  ],
  // Limits
  [
    'containerd, Docker Hub',
    `${resolve}unexpected status code URL: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit`,
    'rate-limited',
  ],
  [
    'containerd 2',
    `${pull}failed to copy: httpReadSeeker: failed open: unexpected status from GET request to URL: 429 Too Many Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit`,
    'rate-limited',
  ],
  [
    'CRI-O, Docker Hub',
    `${crio}toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit`,
    'rate-limited',
  ],
  ['CRI-O', 'initializing source docker://REF: too many requests to registry', 'rate-limited'],
  ['ECR Public', `${crio}toomanyrequests: Rate exceeded`, 'rate-limited'],
  // Registry and the way to it
  ...(
    [
      'dial tcp 127.0.0.1:PORT: connect: connection refused',
      'dial tcp: lookup HOST: no such host',
      'dial tcp: lookup HOST on 127.0.0.53:53: server misbehaving',
      'dial tcp: lookup HOST: Temporary failure in name resolution',
      'dial tcp: lookup HOST: Name or service not known',
      'Proxy Authentication Required',
      'dial tcp 10.0.0.1:PORT: i/o timeout',
      'dial tcp 10.0.0.1:PORT: connect: no route to host',
      'dial tcp 10.0.0.1:PORT: connect: permission denied',
      'read tcp 10.0.0.2:40404->10.0.0.1:PORT: read: connection reset by peer',
      'write tcp 10.0.0.2:40404->10.0.0.1:PORT: write: broken pipe',
      'write tcp 10.0.0.2:40404->10.0.0.1:PORT: use of closed network connection',
      'net/http: TLS handshake timeout',
      'remote error: tls: handshake failure',
      'tls: failed to verify certificate: x509: certificate is valid for HOST, not unauthorized',
      'tls: first record does not look like a TLS handshake',
      'http: server gave HTTP response to HTTPS client',
      'http2: server sent GOAWAY and closed the connection; LastStreamID=401, ErrCode=NO_ERROR, debug=""',
      'http2: client connection lost',
      'stream error: stream ID 429; INTERNAL_ERROR; received from peer',
      'net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)',
      'proxyconnect tcp: dial tcp 10.0.0.9:PORT: connect: connection refused',
      'EOF',
      'unexpected EOF',
    ] as const
  ).flatMap((cause): (readonly [string, string, PullErrorClass])[] => [
    [
      `containerd: ${cause}`,
      `${resolve}failed to do request: Head "URL": ${cause}`,
      'registry-unavailable',
    ],
    [
      `CRI-O: ${cause}`,
      `initializing source docker://REF: pinging container registry HOST:PORT: Get "https://HOST:PORT/v2/": ${cause}`,
      'registry-unavailable',
    ],
  ]),
  [
    'containerd, 503',
    `${resolve}unexpected status from HEAD request to URL: 503 Service Unavailable`,
    'registry-unavailable',
  ],
  [
    'containerd, status of a CDN',
    `${resolve}unexpected status from HEAD request to URL: 521 <none>`,
    'registry-unavailable',
  ],
  [
    'containerd, a download that breaks off',
    `${pull}failed to copy: httpReadSeeker: failed open: failed to do request: Get "https://cdn.HOST/blobs/sha256/401/DIGEST/data?verify=429-404": stream error: stream ID 5; INTERNAL_ERROR; received from peer`,
    'registry-unavailable',
  ],
  [
    'containerd, page of a portal',
    `${unpack}unexpected media type text/html for sha256:DIGEST: not found`,
    'registry-unavailable',
  ],
  [
    'containerd, no host in hosts.toml',
    `${resolve}no resolve hosts: not found`,
    'registry-unavailable',
  ],
  ['CRI-O, 502', `${crio}received unexpected HTTP status: 502 Bad Gateway`, 'registry-unavailable'],
  [
    'CRI-O, token from a page',
    'initializing source docker://REF: decoding bearer token (last URL "https://HOST/token", body start "<!doctype html><html lang="): invalid character \'<\' looking for beginning of value',
    'registry-unavailable',
  ],
  [
    'CRI-O, a blob that breaks off',
    'copying system image from manifest list: writing blob: storing blob to file "/var/tmp/container_images_storage401/1": happened during read: read tcp 10.0.0.2:443->10.0.0.1:PORT: read: connection reset by peer',
    'registry-unavailable',
  ],
  [
    'Docker, 500',
    `${docker}received unexpected HTTP status: 500 Internal Server Error`,
    'registry-unavailable',
  ],
  [
    'CRI-O, status before another text',
    `${crio}received unexpected HTTP status: 503: try again`,
    'registry-unavailable',
  ],
  ['distribution', `${crio}unavailable: service unavailable`, 'registry-unavailable'],
  // The node itself
  ...(
    [
      `${unpack}failed to prepare extraction snapshot "extract-401-BXzc sha256:DIGEST": parent snapshot sha256:DIGEST does not exist: not found`,
      `${pull}failed to prepare extraction snapshot "extract-401 sha256:DIGEST": failed to create prepare snapshot dir: failed to create temp dir: mkdir /var/lib/containerd/x: permission denied: unknown`,
      `${unpack}failed to prepare extraction snapshot "extract-1 sha256:DIGEST": failed to create active: missing parent bucket: not found`,
      `${unpack}failed to extract layer sha256:DIGEST: failed to get reader from content store: blob sha256:DIGEST expected at /var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/DIGEST: blob not found: not found`,
      `${unpack}failed to extract layer sha256:DIGEST: mount callback failed on /var/lib/containerd/tmpmounts/containerd-mount401: unexpected EOF: unknown`,
      `${unpack}blob sha256:DIGEST expected at /var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/DIGEST: blob not found: not found`,
      `${pull}content digest sha256:DIGEST: not found`,
      `${pull}content sha256:DIGEST: not found`,
      `${pull}lease does not exist: not found`,
      `${pull}lease "401": not found`,
      `${pull}snapshotter not registered: APP: not found`,
      `${pull}unable to resolve snapshotter: snapshotter APP was not found: not found`,
      `${pull}failed to copy: failed to open writer: ref layer-sha256:DIGEST locked for 5m0s (since 2026-11-20): unavailable`,
      `${docker}failed to register layer: rename /var/lib/docker/x: file exists`,
      'copying system image from manifest list: writing blob: creating layer: creating overlay mount to /var/lib/containers/x: invalid argument',
      `failed to get image "REF" from containerd image store: image "REF": not found`,
      `${pull}failed commit on ref "layer-sha256:DIGEST": write /var/lib/containerd/io.containerd.content.v1.content/ingest/401/data: input/output error`,
      `${pull}failed to copy: mkdir /var/lib/containerd/x: read-only file system`,
      `${unpack}failed to stat snapshot sha256:DIGEST: stat /var/lib/containerd/x: no such file or directory`,
      'copying system image from manifest list: writing blob: adding layer with blob "sha256:DIGEST": processing tar file(unexpected EOF): exit status 1',
      'copying system image from manifest list: writing blob: adding layer with blob "sha256:DIGEST": layer not known',
      'copying system image from manifest list: writing blob: storing blob to file "/var/tmp/container_images_storage401/1": write /var/tmp/x: input/output error',
    ] as const
  ).map((text): [string, string, PullErrorClass] => ['', text, 'node-storage']),
  [
    'containerd',
    `${unpack}failed to extract layer sha256:DIGEST: write /var/lib/containerd/x: no space left on device: not found`,
    'no-space',
  ],
  [
    'CRI-O',
    'writing blob: storing blob to file "/var/tmp/storage401/1": write /var/tmp/x: disk quota exceeded',
    'no-space',
  ],
  // What was asked for and what came
  [
    'containerd',
    `${pull}failed commit on ref "layer-sha256:DIGEST": unexpected commit digest sha256:DIGEST, expected sha256:DIGEST: failed precondition`,
    'digest-mismatch',
  ],
  [
    'containerd',
    `${unpack}wrong diff id "sha256:DIGEST" calculated on extraction "sha256:DIGEST", desc "sha256:DIGEST"`,
    'digest-mismatch',
  ],
  [
    'CRI-O, configuration of the image',
    'unable to pull image or OCI artifact: pull image err: parsing image configuration: Download config.json digest sha256:DIGEST does not match expected sha256:DIGEST; artifact err: image reference: get manifest from ref: create image source: reading manifest TAG in NAME: manifest unknown',
    'digest-mismatch',
  ],
  [
    'CRI-O',
    'copying layer: writing blob: layer 1 (blob "sha256:DIGEST") does not match config\'s DiffID "sha256:DIGEST"',
    'digest-mismatch',
  ],
  // Signature policies
  ...(
    [
      'Source image rejected: A signature was required, but no signature exists',
      'SignatureValidationFailed: Source image rejected: A signature was required, but no signature exists',
      'copying system image from manifest list: Source image rejected: Running image docker://REF is rejected by policy.',
      'Source image rejected: Any signatures for image docker://REF are rejected by policy.',
      'Source image rejected: Signature for identity "REF" is not accepted',
      'Source image rejected: Signature for digest sha256:DIGEST does not match',
      'Source image rejected: None of the signatures were accepted, reasons: Signature for identity "REF" is not accepted; cryptographic signature verification failed: invalid signature when validating ASN.1 encoded signature',
      'unable to pull image or OCI artifact: pull image err: copying system image from manifest list: Source image rejected: A signature was required, but no signature exists; artifact err: pull artifact: reading manifest TAG in NAME: unauthorized',
      `${pull}image verifier cosign blocked pull of REF with digest sha256:DIGEST for reason: forbidden`,
      `${crio}unknown: The image is not signed by cosign.`,
    ] as const
  ).map((text): [string, string, PullErrorClass] => ['', text, 'signature-invalid']),
  [
    'CRI-O, signatures that cannot be read',
    'Source image rejected: reading signature from https://HOST:PORT/sigstore/TEAM/APP@sha256=DIGEST/signature-1: received unexpected HTTP status: 503 Service Unavailable',
    'registry-unavailable',
  ],
  // Neither
  [
    'containerd, an artifact',
    `${unpack}unexpected media type application/vnd.cncf.helm.config.v1+json for sha256:DIGEST: not found`,
    'unknown',
  ],
  [
    'containerd, a manifest that is too large',
    `${resolve}rejecting 40400429 byte manifest for REF: not found`,
    'unknown',
  ],
  [
    'containerd, a program that is missing',
    `${pull}failed to start stream processor: exec: "unpigz": executable file not found in $PATH`,
    'unknown',
  ],
  ['containerd, cancelled', `${pull}failed to copy: context canceled`, 'cancelled'],
  [
    'containerd, cancelled on the way',
    `${resolve}failed to do request: Head "URL": context canceled`,
    'cancelled',
  ],
  ['containerd, out of time', `${resolve}context deadline exceeded`, 'timeout'],
];

/** Names that users have given, and that look like an answer of a registry. */
const decisiveNames = [
  '401',
  '403',
  '404',
  '429',
  '503',
  'unauthorized',
  'forbidden',
  'denied',
  'not-found',
  'notfound',
  'toomanyrequests',
  'too-many-requests',
  'insufficient_scope',
  'rate-limit',
  'no-such-host',
  'manifest-unknown',
  'unknown',
  'eof',
  'x509',
  'sha256',
  'status',
  'timeout',
  'no-space-left-on-device',
  'snapshot',
  'lease',
  'access',
  'found',
];

describe('class of a pull error', () => {
  it.each(texts.map(([what, text, expected]) => [expected, what, text] as const))(
    '%s: %s: %s',
    (expected, _what, text) => {
      expect(classifyPullError(runtimeSays(fill(text, plain)), referenceOf(plain))).toBe(expected);
    },
  );

  it.each(decisiveNames)('is the same whatever is called %s', (name) => {
    const port = /^\d+$/.test(name) ? name : '443';
    const named: Names = {
      host: `${name}.example`,
      port,
      team: name,
      app: name,
      tag: name,
      digest: (name.replaceAll(/[^0-9a-f]/g, '') + '401404429403'.repeat(6)).slice(0, 64),
    };
    for (const names of [named, hub(named), { ...named, host: name.replaceAll('_', '-') }]) {
      const classes = texts.map(([, text]) => [
        fill(text, names),
        classifyPullError(runtimeSays(fill(text, names)), referenceOf(names)),
      ]);
      expect(classes).toEqual(texts.map(([, text, expected]) => [fill(text, names), expected]));
    }
  });

  it('is the same whatever names, tags, digests and ports are', () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,12}([._-][a-z0-9]{1,12}){0,2}$/);
    const name = fc.oneof(component, fc.constantFrom(...decisiveNames));
    const names = fc.record({
      host: fc.oneof(component, fc.constantFrom('401.example', 'forbidden.example', 'denied')),
      port: fc.integer({ min: 1, max: 65_535 }).map(String),
      team: name,
      app: name,
      tag: fc.oneof(fc.stringMatching(/^\w[\w.-]{0,40}$/), fc.constantFrom(...decisiveNames)),
      digest: fc.stringMatching(/^[0-9a-f]{64}$/),
    });
    fc.assert(
      fc.property(names, fc.constantFrom(...texts), (chosen, [, text, expected]) => {
        const said = fill(text, chosen);
        expect([said, classifyPullError(runtimeSays(said), referenceOf(chosen))]).toEqual([
          said,
          expected,
        ]);
      }),
      { numRuns: 3000 },
    );
  });

  it('does not take long for any text', () => {
    for (const part of ['"', ':', '(Mirrors also failed: [', 'reading manifest ', '<', 'status ']) {
      const before = performance.now();
      classifyPullError(runtimeSays(part.repeat(2_000_000 / part.length)), image);
      expect(performance.now() - before).toBeLessThan(10_000);
    }
  });

  it.each<[string, unknown, string]>([
    ['status NOT_FOUND', runtimeSays(`${image}: nope`, 'NOT_FOUND'), 'not-found'],
    [
      "the status NOT_FOUND of the node's own trouble",
      runtimeSays('content digest sha256:1: not found', 'NOT_FOUND'),
      'node-storage',
    ],
    [
      "kubelet's word for a registry",
      runtimeSays('RegistryUnavailable: down'),
      'registry-unavailable',
    ],
    [
      "kubelet's word for a signature",
      runtimeSays('SignatureValidationFailed: bad'),
      'signature-invalid',
    ],
    ['time-out of the runtime', runtimeSays('context deadline exceeded'), 'timeout'],
    ['status without a text that helps', runtimeSays('nope', 'PERMISSION_DENIED'), 'unauthorized'],
    ['status UNAVAILABLE', runtimeSays('nope', 'UNAVAILABLE'), 'registry-unavailable'],
    ['anything else', runtimeSays('the moon is full'), 'unknown'],
    ['the caller giving up', new CancelledError('pull'), 'cancelled'],
    ['the deadline of the caller', new DeadlineExceededError('pull', 5), 'timeout'],
    ['the service stopping', new ShuttingDownError('image-service'), 'cancelled'],
    [
      'the runtime being away',
      new RuntimeUnavailableError('unix:///c.sock', new Date(0), 'connect ENOENT'),
      'runtime-unavailable',
    ],
    ['a reference', new InvalidImageNameError('A', 'upper case'), 'invalid-reference'],
  ])('%s', (_what, error, errorClass) => {
    expect(classifyPullError(error, image)).toBe(errorClass);
  });
});
