import {
  idBeginning,
  imageKeys,
  namesImage,
  normalizeReference,
  referenceKey,
  referenceToString,
  writtenNames,
} from './index';

const id = `sha256:${'1a'.repeat(32)}`;
const hex = '1a'.repeat(32);
const digest = `sha256:${'d4'.repeat(32)}`;
const other = `sha256:${'e5'.repeat(32)}`;

/** As containerd lists what was pulled as `tool:1.4@digest` and as `busybox:1.36`. */
const tool = {
  imageId: id,
  repoTags: [],
  repoDigests: [`registry.example/team/tool@${digest}`],
};
const busybox = {
  imageId: id,
  repoTags: ['docker.io/library/busybox:1.36', 'docker.io/library/busybox:latest'],
  repoDigests: [`docker.io/library/busybox@${digest}`],
};

describe('namesImage', () => {
  it.each([
    ['a digest behind a tag that is not listed', `registry.example/team/tool:1.4@${digest}`],
    ['a digest behind a name', `registry.example/team/tool@${digest}`],
    ['a digest behind the name of a mirror', `mirror.example:5000/cache/tool:1.4@${digest}`],
    ['a digest alone', digest],
    ['a digest as Docker’s shim reports it', `docker-pullable://registry.example/tool@${digest}`],
    ['a digest of an image without a name', `<none>@${digest}`],
    ['the id', id],
    ['the id without sha256:', hex],
    ['the id as Docker’s shim reports it', `docker://${id}`],
    ['the beginning of the id, as docker images prints it', hex.slice(0, 12)],
    ['the beginning of the id, as crictl images prints it', hex.slice(0, 13)],
    ['the beginning of the id behind sha256:', 'sha256:1a1'],
  ])('takes %s', (_, reference) => {
    expect(namesImage(reference, tool)).toBe(true);
    expect(namesImage(reference, { ...tool, imageId: hex })).toBe(true);
  });

  it.each([
    ['a tag that the runtime does not list', 'registry.example/team/tool:1.4'],
    ['the name alone, which is the tag latest', 'registry.example/team/tool'],
    ['another digest behind the same name and tag', `registry.example/team/tool:1.4@${other}`],
    ['another id', other],
    ['eleven digits of the id: they may be a name', hex.slice(0, 11)],
    ['other digits than those of the id', `${'1a'.repeat(31)}ff`],
    ['a digest that is cut', `registry.example/team/tool@${digest.slice(0, 50)}`],
    ['nothing', ''],
    ['no reference at all', '<none>:<none>'],
  ])('does not take %s', (_, reference) => {
    expect(namesImage(reference, tool)).toBe(false);
  });

  it.each([
    'busybox',
    'busybox:latest',
    'busybox:1.36',
    'library/busybox:1.36',
    'docker.io/busybox:1.36',
    'docker.io/library/busybox:1.36',
    'index.docker.io/busybox:1.36',
    `busybox:9.9@${digest}`,
    `docker.io/busybox@${digest}`,
  ])('takes %s for an image of Docker Hub', (reference) => {
    expect(namesImage(reference, busybox)).toBe(true);
  });

  it.each(['busybox:1.3', 'quay.io/library/busybox:1.36', 'team/busybox:1.36', 'busyboxes'])(
    'does not take %s for it',
    (reference) => {
      expect(namesImage(reference, busybox)).toBe(false);
    },
  );

  it('takes names as some runtimes list them: short, without tag, with tag and digest', () => {
    const short = { imageId: id, repoTags: ['redis', 'docker.io/nginx:1'], repoDigests: [] };
    expect(namesImage('docker.io/library/redis:latest', short)).toBe(true);
    expect(namesImage('nginx:1', short)).toBe(true);
    const both = { imageId: id, repoTags: [`reg.example:5000/a:2@${digest}`], repoDigests: [] };
    expect(namesImage('reg.example:5000/a:2', both)).toBe(true);
    expect(namesImage(`reg.example:5000/a@${digest}`, both)).toBe(true);
    const none = { imageId: id, repoTags: ['<none>:<none>'], repoDigests: [] };
    expect(namesImage('<none>:<none>', none)).toBe(true);
  });
});

describe('referenceKey', () => {
  it('is the same for a key, and for every form of a reference', () => {
    for (const reference of ['busybox', 'reg.example/a:1', id, `a:1@${digest}`, '<none>:<none>']) {
      const key = referenceKey(reference);
      expect(referenceKey(key)).toBe(key);
    }
    expect(referenceKey('Not A Reference')).toBe('Not A Reference');
  });

  it('agrees with the look at the text that listed names get', () => {
    const listed = [
      'a.b/c:1',
      'localhost/c:1',
      'localhost:5000/c:1',
      'docker.io/c:1',
      'docker.io/c/d:1',
      'index.docker.io/c/d:1',
      'UPPER/c:1',
      'a/b:1',
      'a:1',
      'reg:5000/a/b',
      'reg:5000/a',
      '[::1]:5000/a:1',
    ];
    for (const name of listed) {
      const { tag = 'latest', ...parsed } = normalizeReference(name);
      const [key] = [...imageKeys({ imageId: id, repoTags: [name], repoDigests: [] })].slice(1);
      expect(key).toBe(referenceToString({ ...parsed, tag }));
      expect(key).toBe(referenceKey(name));
    }
  });
});

it('idBeginning needs so many digits that a name is not taken for one', () => {
  expect(idBeginning('deadbeef')).toBeUndefined();
  expect(idBeginning('deadbeefcafe')).toBe('sha256:deadbeefcafe');
  expect(idBeginning('sha256:de')).toBeUndefined();
  expect(idBeginning('sha256:dea')).toBe('sha256:dea');
  expect(idBeginning('sha256:dea:x')).toBeUndefined();
  expect(idBeginning('deadbeefcafe:1')).toBeUndefined();
});

it('writtenNames are all that a user may write', () => {
  expect([...writtenNames({ ...busybox, imageId: hex })].sort()).toEqual(
    [
      hex,
      id,
      digest,
      ...['busybox', 'library/busybox', 'docker.io/busybox', 'docker.io/library/busybox'].flatMap(
        (name) => [name, `${name}:1.36`, `${name}:latest`, `${name}@${digest}`],
      ),
    ].sort(),
  );
});
