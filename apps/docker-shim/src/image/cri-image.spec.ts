import { listedNames, listedTags } from './cri-image';

const digest = 'reg/app@sha256:0123';

it('names that stand for none are no names', () => {
  expect(listedNames(['<none>:<none>', 'reg/app:1'])).toEqual(['reg/app:1']);
  expect(listedNames(['<none>@<none>', digest])).toEqual([digest]);
  expect([listedNames(null), listedTags(undefined)]).toEqual([[], []]);
});

it('a digest that is listed among the tags is none', () => {
  expect(listedTags(['reg/app:1', digest, '<none>:<none>', 'reg:5000/app:2'])).toEqual([
    'reg/app:1',
    'reg:5000/app:2',
  ]);
});

it('a name that is listed twice is one', () => {
  expect(listedNames([digest, 'reg/app:1', digest])).toEqual([digest, 'reg/app:1']);
});
