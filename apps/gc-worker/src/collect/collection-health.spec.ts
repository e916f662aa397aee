import { assessDisk } from '../disk/assess-disk';
import type { DiskBreakdown } from '../disk/break-down';
import type { ExceededThreshold } from '../records/exceeded-threshold';
import { disk, now, policy } from '../testing/plan-fixtures';
import { CollectionHealth, fellShort } from './collection-health';
import type { CollectionFailure, CollectionOutcome } from './collect';

const high: ExceededThreshold = {
  mountpoint: '/images',
  role: 'image',
  resource: 'bytes',
  level: 'high',
  since: now,
};

const insufficient: CollectionFailure = {
  code: 'insufficient-space-freed',
  grpcStatus: 'FAILED_PRECONDITION',
  message: 'Insufficient free disk space',
};

const outcome = (values: Partial<CollectionOutcome> = {}): CollectionOutcome => ({
  planId: 'plan-1',
  trigger: 'threshold',
  startedAt: now,
  durationMs: 10,
  askedBytes: 64 * 2 ** 30,
  expectedBytes: 0,
  measuredBytes: 25 * 2 ** 20,
  removed: [],
  failed: [],
  keptByReason: {},
  asKubelet: { freedBytes: 0, attempted: [], remaining: [] },
  images: [],
  ...values,
});

const foreign: DiskBreakdown = {
  mountpoint: '/images',
  role: 'image',
  usedBytes: 900,
  imageBytes: 20,
  containerBytes: 5,
  otherBytes: 875,
};

const poll = {
  disks: [assessDisk(disk(90), policy())],
  breakdowns: [foreign],
};

function health() {
  let exceeded: ExceededThreshold[] = [high];
  let problem: string | undefined;
  const made = new CollectionHealth({
    exceeded: () => exceeded,
    report: (found) => {
      problem = found;
    },
  });
  return {
    made,
    problem: () => problem,
    exceed: (...those: ExceededThreshold[]) => {
      exceeded = those;
    },
  };
}

describe('CollectionHealth', () => {
  it('is no problem before a collection, nor after one that sufficed', () => {
    const { made, problem } = health();
    made.measured(poll);
    expect(problem()).toBeUndefined();
    made.collectionEnded(outcome());
    expect(problem()).toBeUndefined();
  });

  it('says which file system, what holds it, and how the collection fell short', () => {
    const { made, problem } = health();
    made.measured(poll);
    made.collectionEnded(outcome({ failure: insufficient }));
    expect(problem()).toBe(
      '/images is 90 % used, beyond its threshold (of 900 B in use, images hold 20 B, ' +
        'containers 5 B, other files 875 B: without any image it would still be above its low ' +
        'threshold); the last collection fell short (removed 0 images, freed 25.0 MiB of 64.0 GiB ' +
        'asked): insufficient-space-freed',
    );
  });

  it('lasts until the next collection suffices, or no threshold is exceeded', () => {
    const { made, problem, exceed } = health();
    made.collectionEnded(outcome({ failure: insufficient }));
    made.measured(poll);
    expect(problem()).toBeDefined();
    made.collectionEnded(outcome());
    expect(problem()).toBeUndefined();
    made.planFailed('the runtime does not answer');
    expect(problem()).toContain('the last collection could not be planned: the runtime does not');
    exceed();
    made.measured({ ...poll, disks: [] });
    expect(problem()).toBeUndefined();
    exceed(high);
    made.measured(poll);
    expect(problem()).toBeUndefined();
  });

  it.each([
    ['a warning', { ...high, level: 'warning' as const }],
    ['a threshold of a container file system', { ...high, role: 'container' as const }],
  ])('%s is nothing that a collection should have helped against', (_, threshold) => {
    const { made, problem, exceed } = health();
    exceed(threshold);
    made.collectionEnded(outcome({ failure: insufficient }));
    expect(problem()).toBeUndefined();
  });
});

describe('fellShort', () => {
  const over = assessDisk(disk(90), policy());
  const below = assessDisk(disk(70), policy());
  it.each<[string, Partial<CollectionOutcome>, boolean]>([
    ['a failure', { failure: insufficient }, true],
    ['a limit of a run while it is still over the threshold', { after: over }, true],
    ['the low threshold', { after: below }, false],
    ['a stop of the service', { failure: { ...insufficient, code: 'cancelled' } }, false],
    ['no measurement', {}, false],
  ])('%s', (_, values, short) => {
    expect(fellShort(outcome(values))).toBe(short);
  });
});
