import { ImageSpec } from '@stowage/cri-proto';
import { imageOf } from './cri-facts';

it('the image of a container is published without the user information of a URL', () => {
  const spec = ImageSpec.fromPartial({
    image: 'https://user:hunter2@host/x',
    userSpecifiedImage: 'user:hunter2@host/x:1',
  });
  expect(imageOf(spec)).toEqual({
    reference: 'https://[redacted]@host/x',
    userSpecifiedReference: '[redacted]@host/x:1',
  });
});

it('the image of a container is published as it was named', () => {
  const digest = `sha256:${'d'.repeat(64)}`;
  const spec = ImageSpec.fromPartial({ image: `reg.example/a:1@${digest}` });
  expect(imageOf(spec, '', digest)).toEqual({
    reference: `reg.example/a:1@${digest}`,
    imageId: digest,
  });
});
