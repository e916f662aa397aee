import { inspect } from 'node:util';
import fc from 'fast-check';
import { decodeBase64 } from './base64';
import { type CredentialSource, createCredential, credentialHash } from './credential';
import {
  decodeAuthField,
  decodeDockerConfigJson,
  DockerConfigError,
  encodeDockerConfigEntry,
} from './docker-config';

const secret = 'hunter2-secret';
const source: CredentialSource = { kind: 'secret', namespace: 'ns', name: 'regcred', uid: 'u1' };
const credential = createCredential(
  { username: 'ada', password: secret, auth: secret, identityToken: secret, registryToken: secret },
  source,
);

describe('a credential', () => {
  it('hands its secrets to who asks for the fields', () => {
    expect(credential.auth.password).toBe(secret);
    expect({ ...credential.auth }).toEqual({
      username: 'ada',
      password: secret,
      auth: secret,
      identityToken: secret,
      registryToken: secret,
    });
    expect(Object.keys(createCredential({ username: 'ada', password: '' }, source).auth)).toEqual([
      'username',
    ]);
  });

  it.each<[string, (value: unknown) => string]>([
    ['JSON', (value) => JSON.stringify(value)],
    ['JSON of an object around it', (value) => JSON.stringify({ deep: [value] })],
    ['inspect', (value) => inspect(value)],
    ['inspect of an object around it', (value) => inspect({ deep: [value] }, { depth: 9 })],
    ['inspect with hidden members', (value) => inspect({ value }, { showHidden: true })],
    ['a text', (value) => String(value)],
    ['an error', (value) => inspect(new Error('x', { cause: value }))],
  ])('shows none of them in %s', (_, show) => {
    expect(show(credential)).not.toContain(secret);
    expect(show(credential.auth)).not.toContain(secret);
  });

  it('shows its source and hash', () => {
    expect(JSON.parse(JSON.stringify(credential))).toEqual({
      kind: 'secret',
      name: 'ns/regcred',
      hash: credential.hash,
    });
    expect(inspect(credential)).toBe(`Credential(secret ns/regcred, hash ${credential.hash})`);
  });

  it.each<[CredentialSource, string]>([
    [{ kind: 'request' }, 'request'],
    [{ kind: 'docker-config', path: '/a/config.json' }, 'docker-config /a/config.json'],
    [{ kind: 'secret', namespace: '', name: 'a', uid: '' }, 'secret a'],
    [{ kind: 'credential-helper', helper: 'pass' }, 'credential-helper pass'],
    [{ kind: 'credential-provider', provider: 'ecr' }, 'credential-provider ecr'],
  ])('is called by its source: %j', (from, text) => {
    expect(String(createCredential({}, from))).toBe(text);
  });

  it('has a hash of all filled fields in kubelet order', () => {
    expect(credentialHash({})).toBe(credentialHash({ username: '', password: '' }));
    expect(credentialHash({ username: 'u' })).not.toBe(credentialHash({ password: 'u' }));
    expect(credential.hash).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('decoding', () => {
  it('base64 agrees with Node wherever both accept', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, padded) => {
        const text = Buffer.from(bytes).toString('base64');
        const input = padded ? text : text.replace(/=+$/, '');
        expect([...decodeBase64(input, padded)]).toEqual([...bytes]);
      }),
    );
  });

  it.each([
    ['a lone last character', 'AAAAA', false, 4],
    ['no padding where it is needed', 'AA', true, 0],
    ['a line break counts as a byte', 'AAAA\nAA', true, 5],
    ['padding too early', 'A===', true, 1],
    ['padding where there is none', 'AA==', false, 2],
    ['half of the padding', 'AA=', true, 3],
    ['something between the padding', 'AA=A', true, 2],
    ['something after the padding', 'AA==A', true, 4],
    ['something after a line break after the padding', 'AAA=\nA', true, 5],
    ['a character above ASCII, by its bytes', 'éA', false, 0],
  ])('base64 refuses %s', (_, text, padded, at) => {
    expect(() => decodeBase64(text, padded)).toThrow(`illegal base64 data at input byte ${at}`);
  });

  it('an auth field holds what was encoded', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }).filter((name) => !name.includes(':')),
        fc.string({ unit: 'grapheme' }),
        (username, password) => {
          const json = encodeDockerConfigEntry({ username, password, email: '' });
          const { auth } = JSON.parse(json) as { auth: string };
          expect(decodeAuthField(auth)).toEqual({ username, password });
        },
      ),
    );
  });

  it('never throws anything but its own error', () => {
    const known = fc.constantFrom('{"auths":{"r.io":', '{"auths":', '"auth":"', '}', '"', ':', ',');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.array(fc.oneof(known, fc.string())).map((parts) => parts.join('')),
        ),
        (text) => {
          try {
            decodeDockerConfigJson(text);
          } catch (error) {
            expect((error as Error).name).toBe('DockerConfigError');
            expect((error as Error).message).toBe('error occurred while trying to unmarshal json');
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it.each([
    [
      'all fields',
      '{"username":"u","password":"p","email":"e","identitytoken":"i","registrytoken":"r"}',
      ['u', 'p', 'e', 'i', 'r'],
    ],
    [
      'the last of a repeated field wins, whatever its case',
      '{"USERNAME":"a","username":"b","Username":"c"}',
      ['c', '', '', '', ''],
    ],
    ['null leaves a field as it was', '{"username":"a","username":null}', ['a', '', '', '', '']],
    ['escapes in names and values', '{"user\\u006eame":"\\"}{\\\\"}', ['"}{\\', '', '', '', '']],
    [
      'a token of another type is not looked at, as in kubelet',
      '{"username":"u","identitytoken":5}',
      ['u', '', '', '', ''],
    ],
    ['half a surrogate pair is replaced', '{"username":"\\ud800"}', ['\ufffd', '', '', '', '']],
  ])('an entry: %s', (_, entry, fields) => {
    const { entries } = decodeDockerConfigJson(`{"auths": {"r.io" : ${entry} }}`);
    expect(Object.values(entries!.get('r.io')!)).toEqual(fields);
  });

  it.each([
    ['repeated auths add up', '{"auths":{"a":{}},"AUTHS":{"b":{}}}', ['a', 'b']],
    ['null auths forget what was before', '{"auths":{"a":{}},"auths":null}', undefined],
    ['a key twice', '{"auths":{"a":{},"a":{"username":"x"}}}', ['a']],
    [
      'keys of Object.prototype',
      '{"auths":{"__proto__":{},"constructor":{}}}',
      ['__proto__', 'constructor'],
    ],
    ['white space everywhere', ' {\n"auths"\t: { "a" : { } , "b" : { } } } ', ['a', 'b']],
  ])('a file: %s', (_, text, keys) => {
    const { entries } = decodeDockerConfigJson(text);
    expect(entries && [...entries.keys()]).toEqual(keys);
  });

  it('says which entry is wrong, and nothing of its values', () => {
    const text = '{"auths":{"r.io":{"username":"u","password":"hunter2","auth":"?"}}}';
    let thrown: unknown;
    try {
      decodeDockerConfigJson(text);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(DockerConfigError);
    expect(thrown).toMatchObject({
      message: 'error occurred while trying to unmarshal json',
      detail: 'entry "r.io": illegal base64 data at input byte 0',
    });
  });
});
