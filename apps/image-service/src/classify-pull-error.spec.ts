import {
  CancelledError,
  DeadlineExceededError,
  InvalidImageNameError,
  RuntimeUnavailableError,
  ShuttingDownError,
} from '@stowage/errors';
import { classifyPullError } from './classify-pull-error';

const runtimeSays = (message: string, grpcStatus = 'UNKNOWN') => ({ grpcStatus, message });
const image = '127.0.0.1:5000/team/app:1';
const failedTo = `failed to pull and unpack image "${image}": failed to resolve reference "${image}": `;

describe('class of a pull error', () => {
  it.each<[string, unknown, string]>([
    [
      'containerd: registry wants credentials',
      runtimeSays(
        `${failedTo}pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`,
      ),
      'unauthorized',
    ],
    [
      'containerd: wrong password',
      runtimeSays(
        `${failedTo}unexpected status from HEAD request to http://127.0.0.1:5000/v2/team/app/manifests/1: 401 Unauthorized`,
      ),
      'unauthorized',
    ],
    [
      'containerd: basic auth without credentials',
      runtimeSays(`${failedTo}failed to authorize: no basic auth credentials`),
      'unauthorized',
    ],
    [
      'CRI-O: access denied',
      runtimeSays('reading manifest 1 in reg.io/a: errors: denied: requested access is denied'),
      'unauthorized',
    ],
    [
      'containerd: no such tag',
      runtimeSays(`${failedTo}${image}: not found`, 'NOT_FOUND'),
      'not-found',
    ],
    ['CRI-O: no such tag', runtimeSays('reading manifest 1: manifest unknown'), 'not-found'],
    [
      'rate limit',
      runtimeSays(
        `${failedTo}unexpected status code https://x/v2/a: 429 Too Many Requests - Server message: toomanyrequests`,
      ),
      'rate-limited',
    ],
    [
      'registry that is away',
      runtimeSays(
        `${failedTo}failed to do request: Head "http://127.0.0.1:5000/v2/team/app/manifests/1": dial tcp 127.0.0.1:5000: connect: connection refused`,
      ),
      'registry-unavailable',
    ],
    [
      'registry with a fault',
      runtimeSays(
        `${failedTo}unexpected status from HEAD request to http://x/v2/a: 503 Service Unavailable`,
      ),
      'registry-unavailable',
    ],
    [
      'host that does not exist',
      runtimeSays(
        `${failedTo}failed to do request: Head "https://no.example/v2/": dial tcp: lookup no.example: no such host`,
      ),
      'registry-unavailable',
    ],
    [
      'certificate that is not trusted',
      runtimeSays(
        `${failedTo}tls: failed to verify certificate: x509: certificate signed by unknown authority`,
      ),
      'registry-unavailable',
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
    [
      'disk that is full, inside another failure',
      runtimeSays(`${failedTo}failed commit: write /x: no space left on device: not found`),
      'no-space',
    ],
    ['cancellation by the runtime', runtimeSays(`${failedTo}context canceled`), 'cancelled'],
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

  it.each([
    ['reg.example/not-found:404', 'dial tcp: connection refused', 'registry-unavailable'],
    ['reg.example/unauthorized:401', 'manifest unknown', 'not-found'],
  ])('does not take the name %s for the failure', (name, cause, errorClass) => {
    const text = `failed to resolve reference "${name}": Head "https://reg.example/v2/forbidden/429": ${name}: ${cause}`;
    expect(classifyPullError(runtimeSays(text), name)).toBe(errorClass);
  });
});
