import type { ExceededThreshold } from '../records/exceeded-threshold';
import { now } from '../testing/plan-fixtures';
import { collectingHealth } from './collecting-health';

const pause = { since: now, until: now, reason: 'because' };
const paused = 'collection is paused until 2026-11-20T12:00:00.000Z: because';
const exceeded = (values: Partial<ExceededThreshold>): ExceededThreshold[] => [
  { mountpoint: '/images', role: 'image', resource: 'bytes', level: 'high', since: now, ...values },
];

it.each([
  ['says nothing where images are collected', 'on', undefined, [], { state: 'ok' }],
  [
    'names the shadow',
    'shadow',
    undefined,
    exceeded({}),
    { state: 'ok', note: 'shadow: collections are planned and remove nothing' },
  ],
  [
    'says that it is off',
    'off',
    undefined,
    [],
    { state: 'ok', note: 'off: there are no collections' },
  ],
  ['a pause is no problem', 'on', pause, [], { state: 'ok', note: paused }],
  [
    'nor with a warning or with containers alone',
    'on',
    pause,
    [...exceeded({ level: 'warning' }), ...exceeded({ role: 'container' })],
    { state: 'ok', note: paused },
  ],
  [
    'but where a file system needs a collection',
    'on',
    pause,
    exceeded({ level: 'critical' }),
    { state: 'degraded', reason: `/images is beyond its threshold, and ${paused}` },
  ],
] as const)('%s', (_what, collect, given, thresholds, health) => {
  expect(collectingHealth(collect, given, thresholds)).toEqual(health);
});
