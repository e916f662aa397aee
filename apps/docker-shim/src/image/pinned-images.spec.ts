import { pinnedImages } from './pinned-images';

const none = { pinnedImages: [], pinnedImageLabels: [], sandboxImage: '' };
const image = {
  imageId: `sha256:${'a'.repeat(64)}`,
  repoTags: ['reg.example/team/keep:1', 'nginx:1.25'],
  repoDigests: [`reg.example/team/keep@sha256:${'b'.repeat(64)}`],
};

describe('pinnedImages', () => {
  it.each([
    ['reg.example/team/keep:*', true],
    ['reg.example/*', true],
    ['*keep*', true],
    ['reg.example/team/keep', true],
    ['docker.io/library/nginx:1.25', true],
    ['nginx:1.25', true],
    [image.imageId, true],
    [image.repoDigests[0]!, true],
    ['reg.example/team/keep:2', false],
    ['reg.example/team/kee', false],
    ['regxexample/team/keep:1', false],
    ['nginx:1?25', false],
    ['nginx:1[.]25', false],
  ])('by the pattern %s: %s', (pattern, is) => {
    expect(pinnedImages({ ...none, pinnedImages: [pattern] })(image, {})).toBe(is);
  });

  it.each([
    [['keep'], { keep: '' }, true],
    [['keep=yes'], { keep: 'yes' }, true],
    [['keep=yes'], { keep: 'no' }, false],
    [['keep=a=b'], { keep: 'a=b' }, true],
    [[], { 'io.cri-containerd.pinned': 'pinned' }, true],
    [[], { 'io.cri-containerd.pinned': 'no' }, false],
  ])('by the labels %j of %j: %s', (pinnedImageLabels, labels, is) => {
    expect(
      pinnedImages({ ...none, pinnedImageLabels })(image, labels as Record<string, string>),
    ).toBe(is);
  });

  it('as the sandbox image, by any of its names', () => {
    const isPinned = (sandboxImage: string) => pinnedImages({ ...none, sandboxImage })(image, {});
    expect(['docker.io/library/nginx:1.25', 'nginx:1.25', 'nginx:1.26'].map(isPinned)).toEqual([
      true,
      true,
      false,
    ]);
  });
});
