import { redactOutput, redactSecrets, secretsOfAnswer, secretTexts } from './redact';

const auth = { username: 'ada', password: 'hunter2 "&%é', identityToken: 'id/tok+1' };

describe('a text of another without secrets', () => {
  it.each<[string, string, string]>([
    ['as it is', `x${auth.password}y`, 'x[redacted]y'],
    ['in a URL', `p=${encodeURIComponent(auth.password)}`, 'p=[redacted]'],
    ['in a form', 'p=hunter2+%22%26%25%C3%A9', 'p=[redacted]'],
    ['in JSON', JSON.stringify({ p: auth.password }), '{"p":"[redacted]"}'],
    [
      'with the user name in base64',
      `got ${Buffer.from(`ada:${auth.password}`).toString('base64')}!`,
      'got [redacted]!',
    ],
    ['a token', 'refresh_token id/tok+1', 'refresh_token [redacted]'],
    ['a token in a URL', 'id%2Ftok%2B1', '[redacted]'],
  ])('has no known secret: %s', (_, text, expected) => {
    expect(redactSecrets(text, secretTexts(auth))).toBe(expected);
  });

  it('knows the password in the field auth', () => {
    const secrets = secretTexts({ auth: Buffer.from('ada:hunter2').toString('base64') });
    expect(redactSecrets('hunter2 YWRhOmh1bnRlcjI= YWRhOmh1bnRlcjI', secrets)).toBe(
      '[redacted] [redacted] [redacted]',
    );
  });

  it.each<[string, string]>([
    ['Authorization: Bearer abc.def_123', 'Authorization: Bearer [redacted]'],
    ['authorization: basic YWRhOmh1bnRlcjI=', 'authorization: basic [redacted]'],
    ['Get "https://ada:pw@r.io/v2/": EOF', 'Get "https://ada:[redacted]@r.io/v2/": EOF'],
    [
      'Get "https://s3/b?X-Amz-Date=1&X-Amz-Signature=ab12&X-Amz-Security-Token=cd": EOF',
      'Get "https://s3/b?X-Amz-Date=1&X-Amz-Signature=[redacted]&X-Amz-Security-Token=[redacted]": EOF',
    ],
    ['https://blob/x?sv=1&sig=a%2Bb', 'https://blob/x?sv=1&sig=[redacted]'],
  ])('has no credential that nobody named: %s', (text, expected) => {
    expect(redactSecrets(text, [])).toBe(expected);
  });

  // As containerd, CRI-O and registries word them.
  it.each([
    'failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized',
    'no basic auth credentials',
    'basic authentication is required',
    'Bearer realm="https://auth.r.io/token",service="r.io",scope="repository:team/a:pull"',
    'Bearer service="registry.docker.io",realm="https://auth.docker.io/token"',
    String.raw`no Bearer token, challenge was Bearer service=\"r.io\"`,
    'Head "http://127.0.0.1:5000/v2/a/manifests/1": dial tcp 127.0.0.1:5000: connect: refused',
    'failed to pull and unpack image "docker.io/library/nginx:1.27": failed to resolve reference "docker.io/library/nginx:1.27": docker.io/library/nginx:1.27: not found',
    'failed to copy: httpReadSeeker: failed open: unexpected status code https://r.io:5000/v2/team/key/blobs/sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08: 503 Service Unavailable',
    'failed commit on ref "layer-sha256:9f86d081": unexpected commit digest sha256:60303ae2, expected sha256:9f86d081: failed precondition',
    'pulling from host r.io failed with status code [manifests sha256:9f86d081]: 429 Too Many Requests',
    'failed to authorize: failed to fetch oauth token: Post "https://auth.docker.io/token?account=ada&scope=repository%3Ateam%2Fa%3Apull&service=registry.docker.io": dial tcp: lookup auth.docker.io: no such host',
    'Get "https://cdn.r.io/blobs/sha256/9f/data?expires=1&region=eu&version=2": context deadline exceeded',
    'pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed',
    'r.io/team/token/secret-app@sha256:0123456789abcdef: not found',
    'docker://r.io:5000/app@sha256:0123456789abcdef: x509: certificate signed by unknown authority',
    'write /var/lib/containerd/io.containerd.content.v1.content/ingest/1a/data: no space left on device',
  ])('is left as it is where there is none: %s', (text) => {
    expect(redactSecrets(text, [])).toBe(text);
  });

  it('goes through long texts in one go', () => {
    for (const part of ['Basic ', 'Bearer a1', '://a:b', '?key', 'password', '"secret":"\\\\a']) {
      const text = part.repeat(100_000);
      expect(redactOutput(text, []).length).toBeGreaterThan(0);
      expect(secretsOfAnswer(text + '"')).toBeDefined();
    }
    expect(secretsOfAnswer(`{"Secret":"${'a'.repeat(1 << 20)}"}`)[0]).toHaveLength(1 << 20);
  });

  it('does not look for nothing, or what is too short', () => {
    expect(secretTexts({})).toEqual([]);
    expect(secretTexts({ username: 'user' })).toEqual([]);
    expect(redactSecrets('abc', secretTexts({ username: 'u', password: 'abc' }))).toBe('abc');
  });
});
