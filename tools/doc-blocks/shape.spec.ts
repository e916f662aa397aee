import { rowsWith, shapeOf, skeleton } from './shape';

const output = [
  'worker-1: plan-9b1f0c4e (request) removes 1 of 3 images for about 12.5 MiB',
  '#  IMAGE   LAST USED  WHY',
  '1  a/b:1          3h  not used',
  '',
  '2026-11-29 18:02:11  worker-1  ImagePulled  pulled a/b:1, 12.5 MiB',
  'nothing is wrong: 1 nodes looked at, 3 services ok',
];

it('the shape is titles, events and the words of other lines', () => {
  expect(shapeOf(output)).toEqual({
    headers: [['#', 'IMAGE', 'LAST USED', 'WHY']],
    events: ['ImagePulled'],
    lines: [
      'NODE: PLAN (request) removes N of N images for about SIZE',
      'nothing is wrong: N nodes looked at, N services ok',
    ],
  });
});

it('rows are read by their columns', () => {
  expect(rowsWith(output, 'WHY')).toEqual([
    { '#': '1', IMAGE: 'a/b:1', 'LAST USED': '3h', WHY: 'not used' },
  ]);
  expect(rowsWith(output, 'NODE')).toEqual([]);
});

it('the line of another node is the same', () => {
  expect(skeleton('a.b: no collection until 2026-11-30T08:00:00.000Z')).toBe(
    skeleton('worker-2: no collection until 2026-12-30T08:01:00.123Z'),
  );
});
