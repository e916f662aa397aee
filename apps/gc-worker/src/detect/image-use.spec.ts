import { findUsers } from './image-use';
import { image } from '../testing/plan-fixtures';
import type { ContainerUse } from '../runtime/runtime';

const id = (letter: string): string => `sha256:${letter.repeat(64)}`;
const nginx = image(id('a'), {
  repoTags: ['docker.io/library/nginx:1.25', 'registry.example:5000/web/nginx:stable'],
  repoDigests: [`docker.io/library/nginx@sha256:${'d'.repeat(64)}`],
});
const redis = image(id('b'), { repoTags: ['redis:latest'] });
const other = image(id('c'), { repoTags: ['quay.io/team/other:2'] });
/** As containerd lists what was pulled by tag and digest. */
const pinned = image(id('9'), {
  repoTags: [],
  repoDigests: [`registry.example/team/tool@${id('4')}`],
});
/** As CRI-O lists images. */
const bare = image('8'.repeat(64), { repoTags: ['quay.io/team/bare:1'] });
const images = [nginx, redis, other, pinned, bare];

const container = (values: Partial<ContainerUse>): ContainerUse => ({
  containerId: 'c1',
  imageId: '',
  imageRef: '',
  imageNames: [],
  imageVolumes: [],
  ...values,
});

describe('findUsers by any reference', () => {
  it.each<[string, Partial<ContainerUse>, string[]]>([
    ['the image id', { imageId: nginx.imageId }, [nginx.imageId]],
    ['the image id in image_ref', { imageRef: nginx.imageId }, [nginx.imageId]],
    ['a digested reference in image_ref', { imageRef: nginx.repoDigests[0] }, [nginx.imageId]],
    ['a bare digest', { imageRef: `sha256:${'d'.repeat(64)}` }, [nginx.imageId]],
    ['bare hexadecimal digits', { imageRef: 'a'.repeat(64) }, [nginx.imageId]],
    ['the listed tag', { imageNames: ['docker.io/library/nginx:1.25'] }, [nginx.imageId]],
    ['a familiar name', { imageNames: ['nginx:1.25'] }, [nginx.imageId]],
    ['a full name of a familiar tag', { imageNames: ['docker.io/library/redis'] }, [redis.imageId]],
    ['a familiar name without tag', { imageNames: ['redis'] }, [redis.imageId]],
    [
      'a name with a port',
      { imageNames: ['registry.example:5000/web/nginx:stable'] },
      [nginx.imageId],
    ],
    [
      'a name with tag and digest',
      { imageNames: [`registry.example/team/tool:1.4@${id('4')}`] },
      [pinned.imageId],
    ],
    [
      'tag and digest in image_ref, without name and id',
      { imageRef: `registry.example/team/tool:1.4@${id('4')}` },
      [pinned.imageId],
    ],
    [
      'the image of a volume, by tag and digest',
      { imageVolumes: [`registry.example/team/tool:1.4@${id('4')}`] },
      [pinned.imageId],
    ],
    ['an id that is listed without sha256:', { imageRef: id('8') }, [bare.imageId]],
    ['an id without sha256: as it is listed', { imageId: '8'.repeat(64) }, [bare.imageId]],
    ['the beginning of an id', { imageNames: ['9'.repeat(13)] }, [pinned.imageId]],
    ['the beginning of an id behind sha256:', { imageNames: ['sha256:9999'] }, [pinned.imageId]],
    ['half a name', { imageNames: ['docker.io/redis'] }, [redis.imageId]],
    ['the old host of Docker Hub', { imageNames: ['index.docker.io/redis'] }, [redis.imageId]],
    ['an id as Docker’s shim tells it', { imageRef: `docker://${id('9')}` }, [pinned.imageId]],
    ['nothing by tag and another digest', { imageNames: [`nginx:1.25@${id('0')}`] }, []],
    ['nothing by a name that is not listed', { imageNames: ['nginx:2'] }, []],
    ['nothing by text that is no reference', { imageNames: ['UPPER CASE?'] }, []],
    [
      'every image that one of its names means',
      { imageId: nginx.imageId, imageNames: ['redis:latest'] },
      [nginx.imageId, redis.imageId],
    ],
    ['the image of a volume, by name', { imageVolumes: ['quay.io/team/other:2'] }, [other.imageId]],
  ])('finds %s', (_, values, found) => {
    const users = findUsers(images, [container(values)], 'any-reference');
    expect([...users.keys()].sort()).toEqual(found);
  });

  it('tells who uses an image and how', () => {
    const users = findUsers(
      images,
      [
        container({
          containerId: 'c1',
          imageId: nginx.imageId,
          containerName: 'web',
          podName: 'cart-0',
          podNamespace: 'shop',
          imageVolumes: [nginx.imageId],
        }),
        container({ containerId: 'c2', imageId: nginx.imageId }),
      ],
      'any-reference',
    );
    const pod = { containerName: 'web', podName: 'cart-0', podNamespace: 'shop' };
    expect(users.get(nginx.imageId)).toEqual([
      { as: 'container', containerId: 'c1', ...pod },
      { as: 'image-volume', containerId: 'c1', ...pod },
      { as: 'container', containerId: 'c2' },
    ]);
  });
});

describe('findUsers by image id, as kubelet', () => {
  it.each<[string, Partial<ContainerUse>, string[]]>([
    ['finds the image id', { imageId: nginx.imageId, imageRef: redis.imageId }, [nginx.imageId]],
    ['takes image_ref where there is no image_id', { imageRef: redis.imageId }, [redis.imageId]],
    ['takes one id with and without sha256: for the same', { imageId: id('8') }, [bare.imageId]],
    ['does not look at digests', { imageRef: nginx.repoDigests[0] }, []],
    ['does not look at names', { imageNames: ['redis:latest'] }, []],
    ['finds a volume by id', { imageVolumes: [other.imageId] }, [other.imageId]],
    ['does not find a volume by name', { imageVolumes: ['quay.io/team/other:2'] }, []],
  ])('%s', (_, values, found) => {
    expect([...findUsers(images, [container(values)], 'image-id').keys()]).toEqual(found);
  });
});
