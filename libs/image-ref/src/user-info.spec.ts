import * as imageRef from './index';
import { ImageReferenceError, normalizeReference, withoutUserInfo } from './index';

const digest = `sha256:${'d4'.repeat(32)}`;

describe('withoutUserInfo', () => {
  it.each([
    ['https://user:password@host/x', 'https://[redacted]@host/x'],
    ['user:password@host/x:1', '[redacted]@host/x:1'],
    ['User:Pa55word@host.example:5000/x', '[redacted]@host.example:5000/x'],
    ['https://user:pa/ss@host/x', 'https://[redacted]@host/x'],
    ['https://user:p@ss@host/x', 'https://[redacted]@host/x'],
    ['https://user:p"a s\ns@host/x', 'https://[redacted]@host/x'],
    ['token@ghcr.io/team/x', '[redacted]@ghcr.io/team/x'],
    ['token@localhost', '[redacted]@localhost'],
    ['https://token@registry', 'https://[redacted]@registry'],
    [`https://user:password@host/x@${digest}`, `https://[redacted]@host/x@${digest}`],
    ['user:password@host/x@sha256:12', '[redacted]@host/x@sha256:12'],
    ['user%3Apassword%40host%2Fx', '[redacted]%40host%2Fx'],
    ['https://user:p%40ss@host/x', 'https://[redacted]@host/x'],
    ['host/x?token=secret&a=b', 'host/x?[redacted]'],
    ['https://user:password@host/x?a=b@c', 'https://[redacted]@host/x?[redacted]'],
  ])('cuts %s', (text, shown) => {
    expect(withoutUserInfo(text)).toBe(shown);
    expect(withoutUserInfo(shown)).toBe(shown);
    expect(() => normalizeReference(shown)).toThrow(ImageReferenceError);
  });

  it.each([
    'nginx',
    'registry.example:5000/team/app:1.4',
    `registry.example:5000/team/app:1.4@${digest}`,
    `app@sha512:${'0'.repeat(128)}`,
    digest,
    '[::1]:5000/x',
    'nginx@latest',
    'nginx@sha256:12',
    `a@${digest}@${digest}`,
    'UPPER CASE?',
    '',
  ])('leaves %s', (text) => {
    expect(withoutUserInfo(text)).toBe(text);
  });
});

it('no parser repeats user information, in any field of its errors', () => {
  const secret = 'Hunter2-secret';
  const inputs = [
    `https://user:${secret}@host/x`,
    `https://${secret}:x@host/x`,
    `user:${secret}@host/x`,
    `user:${secret}!@host/x`,
    `${secret}/PART@host.example/x`,
    `${secret}@host.example/x:1@${digest}`,
    `user:${secret}@host/x@sha256:1`,
    `host/${secret}@host/X`,
    `host/x?password=${secret}`,
  ];
  const parsers = [
    imageRef.parseReference,
    imageRef.parseRepositoryName,
    imageRef.normalizeReference,
    imageRef.parseCanonicalReference,
    imageRef.parseAnyReference,
    imageRef.parsePullReference,
    imageRef.parseImageName,
    imageRef.applyDefaultTag,
    imageRef.trimTagAndDigest,
  ];
  for (const input of inputs) {
    for (const parse of parsers) {
      let error: unknown;
      try {
        parse(input);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(ImageReferenceError);
      for (let at = error; at instanceof ImageReferenceError; at = at.cause) {
        expect([at.message, at.reference, at.rule, at.stack].join('\n')).not.toContain(secret);
        expect(at.rule).toMatch(/neither a user name or password nor a query/);
      }
    }
  }
});
