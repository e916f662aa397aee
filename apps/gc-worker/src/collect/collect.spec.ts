import { InvalidArgumentError, RuntimeUnavailableError } from '@stowage/errors';
import {
  carryOut,
  type CollectionOptions,
  type CollectionOutcome,
  type CollectionPorts,
} from './collect';
import type { KubeletDifferences } from '../policy/differences';
import { planCollection, type CollectionPlan } from './plan-collection';
import type { CollectionPolicy } from '../policy/policy';
import { disk, image, input, minutes, now, policy } from '../testing/plan-fixtures';
import type { FileSystemReading } from '../disk/assess-disk';
import type { KeepRule } from '../policy/keep-rules';

const meter = { perRemovalWaitMs: 50, finalWaitMs: 200, quietMs: 100, pollMs: 10 };

/** A runtime with a disk: removing an image frees what `frees` says, `lateMs` after the answer. */
class FakeNode {
  clock = now;
  /** How far the wall clock was set. */
  jumpMs = 0;
  reading: FileSystemReading;
  readonly removedIds: string[] = [];
  readonly steps: string[] = [];
  readonly #late: { at: number; bytes: number }[] = [];
  diskError: Error | undefined;
  /** Removals of which nobody has asked yet whether they took effect. */
  readonly #answered: string[] = [];

  constructor(
    usedPercent: number,
    private readonly behaviour: {
      frees?: (imageId: string) => number;
      lateMs?: number;
      errors?: Record<string, Error>;
      becomesUsed?: string[];
      afterRemoval?: (node: FakeNode) => void;
      /** Images whose removal the runtime answers with success, and which it still lists. */
      stay?: string[];
    } = {},
  ) {
    this.reading = disk(usedPercent);
  }

  ports(): CollectionPorts {
    return {
      clock: {
        now: () => this.clock + this.jumpMs,
        elapsedMs: () => this.clock,
        sleep: (ms) => {
          this.clock += ms;
          return Promise.resolve();
        },
      },
      rateLimiter: { wait: () => Promise.resolve() },
      lock: { run: (task) => task() },
      disks: { read: () => this.readDisks() },
      detector: {
        protectionNow: ({ imageId }): Promise<{ rule: KeepRule; why: string } | undefined> =>
          Promise.resolve(
            this.behaviour.becomesUsed?.includes(imageId) === true
              ? { rule: 'in-use', why: 'container late' }
              : undefined,
          ),
      },
      removals: {
        begin: ({ imageId }, reason) => this.steps.push(`begin ${imageId} ${reason}`),
        remove: ({ imageId }) => this.remove(imageId),
        removed: ({ imageId, measuredBytes }) =>
          this.steps.push(`removed ${imageId} ${String(measuredBytes)}`),
        settle: () => {
          const { stay = [] } = this.behaviour;
          const stayed = this.#answered.splice(0).filter((id) => stay.includes(id));
          return Promise.resolve(new Set(stayed));
        },
        failed: ({ image: { imageId }, message }) =>
          this.steps.push(`not removed ${imageId}: ${message}`),
      },
    };
  }

  readDisks(): Promise<FileSystemReading[]> {
    if (this.diskError !== undefined) return Promise.reject(this.diskError);
    for (const { at, bytes } of this.#late.splice(0)) {
      if (at <= this.clock) this.free(bytes);
      else this.#late.push({ at, bytes });
    }
    return Promise.resolve([this.reading]);
  }

  remove(imageId: string): Promise<void> {
    const error = this.behaviour.errors?.[imageId];
    if (error !== undefined) return Promise.reject(error);
    this.removedIds.push(imageId);
    this.#answered.push(imageId);
    const stays = this.behaviour.stay?.includes(imageId) === true;
    const bytes = stays ? 0 : (this.behaviour.frees ?? (() => 100))(imageId);
    this.#late.push({ at: this.clock + (this.behaviour.lateMs ?? 0), bytes });
    this.behaviour.afterRemoval?.(this);
    return Promise.resolve();
  }

  free(bytes: number): void {
    this.reading = { ...this.reading, availableBytes: this.reading.availableBytes! + bytes };
  }
}

const five = ['a', 'b', 'c', 'd', 'e'].map((id) => image(id));

async function collect(
  node: FakeNode,
  options: Partial<CollectionOptions> & { images?: typeof five } = {},
): Promise<{ plan: CollectionPlan; outcome: CollectionOutcome }> {
  const { images = five, policy: some = policy(), request } = options;
  const plan = planCollection(
    input({ images, disks: [node.reading], policy: some, ...(request ? { request } : {}) }),
  );
  const outcome = await carryOut(plan, node.ports(), {
    meter,
    signal: new AbortController().signal,
    ...options,
    policy: some,
  });
  return { plan, outcome };
}

const differing = (differences: Partial<KubeletDifferences>): CollectionPolicy =>
  policy({ differences });

describe('carryOut', () => {
  it('removes in the plan’s order and measures each removal', async () => {
    const node = new FakeNode(95);
    const { outcome } = await collect(node);
    expect(node.steps).toEqual([
      'begin a threshold',
      'removed a 100',
      'begin b threshold',
      'removed b 100',
    ]);
    expect(outcome).toMatchObject({
      trigger: 'threshold',
      askedBytes: 150,
      expectedBytes: 200,
      measuredBytes: 200,
      keptByReason: { 'enough-freed': 3 },
      asKubelet: { remaining: ['c', 'd', 'e'] },
      before: { usedPercent: 95 },
      after: { usedPercent: 75 },
    });
    expect(outcome.failure).toBeUndefined();
  });

  it('stops when the measurement reaches the mark before the plan’s end', async () => {
    const node = new FakeNode(95, { frees: () => 150 });
    const { plan, outcome } = await collect(node);
    expect(plan.removeCount).toBe(2);
    expect(node.removedIds).toEqual(['a']);
    expect(outcome.images.map(({ result, rule, why }) => [result, rule, why]).slice(0, 3)).toEqual([
      ['removed', 'threshold', 'never seen in use; 0 B of 150 B expected so far'],
      ['kept', 'enough-freed', 'not needed: enough was freed before'],
      ['kept', 'enough-freed', 'the images before it are expected to free 200 B of 150 B'],
    ]);
  });

  it('goes on to further images when less came free than expected', async () => {
    const node = new FakeNode(95, { frees: () => 40 });
    const { plan, outcome } = await collect(node);
    expect(plan.removeCount).toBe(2);
    expect(node.removedIds).toEqual(['a', 'b', 'c', 'd']);
    expect(outcome.failure).toBeUndefined();
    expect(outcome.removed[3]).toMatchObject({
      verdict: 'remove',
      rule: 'threshold',
      why: 'the images before it freed less than expected',
    });
  });

  it('keeps every image when all together are expected to free less than minReclaim', async () => {
    const node = new FakeNode(95);
    const { outcome } = await collect(node, {
      images: [image('a', { sizeBytes: 5 }), image('b', { sizeBytes: 5 })],
      policy: policy({ minReclaimBytes: 20 }),
    });
    expect(node.removedIds).toEqual([]);
    expect(outcome).toMatchObject({
      askedBytes: 150,
      keptByReason: { 'min-reclaim': 2 },
      failure: { code: 'insufficient-space-freed' },
    });
  });

  it('hardly waits before more images than planned go where each frees most of its size at once', async () => {
    const node = new FakeNode(95, { frees: () => 60 });
    const begin = node.clock;
    const { plan, outcome } = await collect(node);
    expect([plan.removeCount, outcome.removed.length]).toEqual([2, 3]);
    expect(node.clock - begin).toBeLessThan(meter.quietMs);
  });

  it('waits for a runtime that frees later before more images than planned go', async () => {
    const node = new FakeNode(95, { lateMs: 90 });
    const { outcome } = await collect(node);
    expect(node.removedIds).toEqual(['a', 'b']);
    expect(outcome.measuredBytes).toBe(200);
    expect(outcome.failure).toBeUndefined();
  });

  it('keeps an image that came into use since the plan, and goes on', async () => {
    const node = new FakeNode(95, { becomesUsed: ['a'] });
    const { outcome } = await collect(node);
    expect(node.removedIds).toEqual(['b', 'c']);
    expect(outcome.images[0]).toMatchObject({
      result: 'kept',
      rule: 'in-use',
      why: 'container late',
    });
    expect(outcome.keptByReason).toEqual({ 'in-use': 1, 'enough-freed': 2 });
  });

  it('does not look at use again with kubelet’s option', async () => {
    const node = new FakeNode(95, { becomesUsed: ['a'] });
    await collect(node, { policy: differing({ useCheck: 'once' }) });
    expect(node.removedIds).toEqual(['a', 'b']);
  });

  it('goes on after a removal error and reports it', async () => {
    const node = new FakeNode(95, { errors: { a: new Error('boom') } });
    const { outcome } = await collect(node);
    expect(node.removedIds).toEqual(['b', 'c']);
    expect(node.steps).toContain('not removed a: boom');
    expect(outcome.failure).toEqual({
      code: 'removal-failed',
      grpcStatus: 'UNKNOWN',
      message: '1 image could not be removed: boom',
    });
    expect(outcome.keptByReason).toEqual({ 'removal-failed': 1, 'enough-freed': 2 });
    expect(outcome.asKubelet.attempted).toEqual(['a', 'b', 'c']);
  });

  it.each([
    ['by measurement', policy()],
    ['by image sizes', differing({ freedBytes: 'image-size' })],
  ])(
    'counts a removal that the runtime’s list contradicts as failed and goes on, %s',
    async (_, some) => {
      const node = new FakeNode(95, { stay: ['a'] });
      const { outcome } = await collect(node, { policy: some });
      expect(outcome.removed.map(({ imageId }) => imageId)).toEqual(['b', 'c']);
      expect(outcome.expectedBytes).toBe(200);
      const text = 'the runtime answered that the image was removed, and still lists it';
      expect(outcome.failed).toMatchObject([
        { image: { imageId: 'a' }, grpcStatus: 'FAILED_PRECONDITION', message: text },
      ]);
      expect(outcome.failure).toMatchObject({
        code: 'removal-failed',
        message: `1 image could not be removed: ${text}`,
      });
      expect(outcome.keptByReason).toEqual({ 'removal-failed': 1, 'enough-freed': 2 });
      expect(outcome.asKubelet.remaining).toEqual(['a', 'd', 'e']);
    },
  );

  it.each([
    ['of a plan that is executed exactly', { exact: true }],
    ['by age', { policy: policy({ maxAgeMs: minutes(30) }) }],
    ['of everything', { request: { bytes: Infinity } }],
  ])('reports removals %s that the runtime’s list contradicts', async (_, options) => {
    const node = new FakeNode(95, { stay: five.map(({ imageId }) => imageId) });
    const { outcome } = await collect(node, options);
    expect(outcome.removed).toEqual([]);
    expect(outcome.failed.length).toBeGreaterThan(1);
    expect(outcome.failure).toBeDefined();
    expect(outcome.asKubelet.freedBytes).toBe(0);
  });

  it('gives kubelet’s error text with kubelet’s option', async () => {
    const node = new FakeNode(95, { errors: { a: new Error('boom') } });
    const { outcome } = await collect(node, {
      policy: differing({ removalError: 'fails-the-collection' }),
    });
    expect(outcome.failure?.message).toBe(
      'wanted to free 150 bytes, but freed 200 bytes space with errors in image deletion: boom',
    );
  });

  it.each(five.map(({ imageId }, at) => [imageId, at] as const))(
    'ends when the runtime is gone at the removal of %s: every further one would fail too',
    async (imageId, at) => {
      const gone = new RuntimeUnavailableError('unix:///run/x.sock', new Date(now), 'ENOENT');
      const node = new FakeNode(95, { errors: { [imageId]: gone } });
      const { outcome } = await collect(node, { policy: policy({ lowThresholdPercent: 45 }) });
      const ids = five.map((image) => image.imageId);
      expect(outcome.asKubelet.attempted).toEqual(ids.slice(0, at + 1));
      expect(outcome.removed.map((image) => image.imageId)).toEqual(ids.slice(0, at));
      expect(outcome.measuredBytes).toBe(at * 100);
      expect(outcome.failure).toMatchObject({
        code: 'runtime-unavailable',
        grpcStatus: 'UNAVAILABLE',
      });
      expect(outcome.keptByReason).toEqual({
        'removal-failed': 1,
        ...(at < 4 ? { 'not-reached': 4 - at } : {}),
      });
    },
  );

  it('says kubelet’s text when not enough can be freed, with what was measured', async () => {
    const node = new FakeNode(95, { frees: () => 10 });
    const { outcome } = await collect(node);
    expect(node.removedIds).toHaveLength(5);
    expect(outcome.failure).toEqual({
      code: 'insufficient-space-freed',
      grpcStatus: 'FAILED_PRECONDITION',
      nodeEventReason: 'FreeDiskSpaceFailed',
      message:
        "Insufficient free disk space on the node's image filesystem (95% of 1000 B used). Failed to free sufficient space by deleting unused images (freed 50 bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other data.",
    });
  });

  it('never removes what is too young, even when the estimate was too high', async () => {
    const node = new FakeNode(95, { frees: () => 10 });
    const images = [image('a'), image('young', { firstDetected: now - 1000 }), image('b')];
    const { outcome } = await collect(node, { images });
    expect(node.removedIds).toEqual(['a', 'b']);
    expect(outcome.keptByReason).toEqual({ 'min-age': 1 });
  });

  it('counts image sizes with kubelet’s option, whatever the disk says', async () => {
    const node = new FakeNode(95, { frees: () => 1 });
    const { outcome } = await collect(node, { policy: differing({ freedBytes: 'image-size' }) });
    expect(node.removedIds).toEqual(['a', 'b']);
    expect(outcome).toMatchObject({ asKubelet: { freedBytes: 200 }, measuredBytes: null });
    expect(outcome.failure).toBeUndefined();
  });

  it('falls back to image sizes when the disk cannot be read any more', async () => {
    const node = new FakeNode(95, {
      afterRemoval: (self) => {
        self.diskError = new Error('ENOENT');
      },
    });
    const { outcome } = await collect(node);
    expect(node.removedIds).toEqual(['a', 'b']);
    expect(outcome.measuredBytes).toBeNull();
    expect(outcome.failure).toBeUndefined();
  });

  it('reports a disk that cannot be read', async () => {
    const node = new FakeNode(95);
    node.diskError = new InvalidArgumentError('path', '/x', 'a mount point');
    const plan = planCollection(input({ images: five, disks: [disk(95)] }));
    const outcome = await carryOut(plan, node.ports(), {
      policy: policy(),
      meter,
      signal: new AbortController().signal,
    });
    expect(node.removedIds).toEqual([]);
    expect(outcome.failure).toMatchObject({ code: 'stats-failed', grpcStatus: 'INVALID_ARGUMENT' });
    expect(outcome.keptByReason).toEqual({ 'not-reached': 2, 'enough-freed': 3 });
  });

  it('stops between two removals when the service stops', async () => {
    const stop = new AbortController();
    const node = new FakeNode(99, { afterRemoval: () => stop.abort() });
    const { outcome } = await collect(node, { signal: stop.signal });
    expect(node.removedIds).toEqual(['a']);
    expect(outcome.failure).toEqual({
      code: 'cancelled',
      grpcStatus: 'CANCELLED',
      message: 'the service is stopping',
    });
  });

  it('ends at the limit of a run, which is no failure', async () => {
    const node = new FakeNode(99);
    const { outcome } = await collect(node, { policy: policy({ maxImagesPerRun: 1 }) });
    expect(node.removedIds).toEqual(['a']);
    expect(outcome.failure).toBeUndefined();
    expect(outcome.limitedBy).toBe('one collection removes at most 1 image');
    expect(outcome.keptByReason).toEqual({ budget: 4 });
  });

  it('begins no removal after the time of a run, whatever happens to the wall clock', async () => {
    const slow = new FakeNode(99, {
      afterRemoval: (self) => {
        self.clock += 2000;
      },
    });
    const { outcome } = await collect(slow, {
      policy: policy({ maxRunMs: 3000, lowThresholdPercent: 55 }),
    });
    expect(slow.removedIds).toEqual(['a', 'b']);
    expect(outcome.limitedBy).toBe('one collection takes at most 3s');
    expect(outcome.failure).toBeUndefined();
    for (const jump of [-3_600_000, 3_600_000]) {
      const node = new FakeNode(95, {
        lateMs: 40,
        afterRemoval: (self) => {
          self.jumpMs += jump;
        },
      });
      const set = await collect(node, { policy: policy({ maxRunMs: 3000 }) });
      expect(node.removedIds).toEqual(['a', 'b']);
      expect(set.outcome.limitedBy).toBeUndefined();
      expect(set.outcome.durationMs).toBeLessThan(1000);
    }
  });

  it('waits for the rate before each removal, and begins none when the time of the run is over then', async () => {
    const run = async (maxRunMs: number) => {
      const node = new FakeNode(95);
      const some = policy({ maxRunMs });
      const plan = planCollection(input({ images: five, disks: [node.reading], policy: some }));
      const wait = () => {
        node.steps.push('wait');
        node.clock += 2000;
        return Promise.resolve();
      };
      const { signal } = new AbortController();
      const outcome = await carryOut(
        plan,
        { ...node.ports(), rateLimiter: { wait } },
        { policy: some, meter, signal },
      );
      return { steps: node.steps, outcome };
    };
    const slow = await run(0);
    expect(slow.steps).toEqual([
      ...['wait', 'begin a threshold', 'removed a 100'],
      ...['wait', 'begin b threshold', 'removed b 100'],
    ]);
    const short = await run(3000);
    expect(short.steps).toEqual(['wait', 'begin a threshold', 'removed a 100', 'wait']);
    expect(short.outcome.limitedBy).toBe('one collection takes at most 3s');
    expect(short.outcome.failure).toBeUndefined();
    expect(short.outcome.images[1]).toMatchObject({ result: 'kept', rule: 'budget' });
  });

  it('keeps to the bytes of one run also beyond the plan, when less came free than expected', async () => {
    const node = new FakeNode(95, { frees: () => 40 });
    const { plan, outcome } = await collect(node, { policy: policy({ maxBytesPerRun: 300 }) });
    expect(plan.removeCount).toBe(2);
    expect(node.removedIds).toEqual(['a', 'b', 'c']);
    expect(outcome.limitedBy).toBe('one collection removes at most 300 B, 300 B are taken');
    expect(outcome.failure).toBeUndefined();
    expect(outcome.keptByReason).toEqual({ budget: 2 });
  });

  it('removes several at once, no more than are expected to be needed, and measures them together', async () => {
    const node = new FakeNode(95);
    const ports = node.ports();
    let running = 0;
    let most = 0;
    const plan = planCollection(
      input({ images: five, disks: [node.reading], policy: policy({ lowThresholdPercent: 55 }) }),
    );
    const outcome = await carryOut(
      plan,
      {
        ...ports,
        removals: {
          ...ports.removals,
          remove: async (chosen, options) => {
            running += 1;
            most = Math.max(most, running);
            await new Promise((resolve) => setImmediate(resolve));
            running -= 1;
            await ports.removals.remove(chosen, options);
          },
        },
      },
      {
        policy: policy({ lowThresholdPercent: 55, parallelRemovals: 3 }),
        meter,
        signal: new AbortController().signal,
      },
    );
    // 400 bytes to free: three, then one.
    expect(most).toBe(3);
    expect(node.removedIds).toEqual(['a', 'b', 'c', 'd']);
    expect(outcome.removed.map(({ measuredBytes }) => measuredBytes)).toEqual([
      null,
      null,
      null,
      100,
    ]);
    expect(outcome).toMatchObject({ measuredBytes: 400, keptByReason: { 'enough-freed': 1 } });
  });

  it('goes on until inodes are down at their mark', async () => {
    const some = policy({ inodesHighThresholdPercent: 90, inodesLowThresholdPercent: 80 });
    const node = new FakeNode(50);
    node.reading = { ...node.reading, inodes: 100, inodesFree: 5 };
    const { outcome } = await collect(
      Object.assign(node, {
        free: () => {
          node.reading = { ...node.reading, inodesFree: node.reading.inodesFree! + 5 };
        },
      }),
      { policy: some },
    );
    // 500 bytes in 95 inodes: 15 inodes are planned as 79 bytes, one image; measured it takes
    // three.
    expect(outcome.askedBytes).toBe(79);
    expect(node.removedIds).toEqual(['a', 'b', 'c']);
    expect(outcome.failure).toBeUndefined();
  });

  describe('removals by age', () => {
    const aged = (differences: Partial<KubeletDifferences> = {}) =>
      policy({ maxAgeMs: minutes(30), differences });
    const images = [
      image('old', { lastUsed: now - minutes(50) }),
      image('older', { lastUsed: now - minutes(55) }),
      image('recent', { lastUsed: now - minutes(10) }),
    ];

    it('go first, and the space pass asks only for what is still missing', async () => {
      const node = new FakeNode(95);
      const { outcome } = await collect(node, { images, policy: aged() });
      expect(outcome.removed.map(({ imageId, reason }) => `${imageId} ${reason}`)).toEqual([
        'older max-age',
        'old max-age',
      ]);
      expect(outcome.askedBytes).toBeUndefined();
      expect(outcome.measuredBytes).toBe(200);
    });

    it('go on to the disk check after an error', async () => {
      const node = new FakeNode(97, { errors: { older: new Error('busy') } });
      const { outcome } = await collect(node, { images, policy: aged() });
      expect(node.removedIds).toEqual(['old', 'recent']);
      expect(outcome.failure?.message).toBe('1 image could not be removed: busy');
    });

    it('end the collection after an error with kubelet’s option', async () => {
      const node = new FakeNode(97, { errors: { older: new Error('busy'), old: new Error('no') } });
      const { outcome } = await collect(node, {
        images,
        policy: aged({ afterAgeRemovalError: 'stop' }),
      });
      expect(node.removedIds).toEqual([]);
      expect(outcome.failure?.message).toBe(
        'wanted to free images older than 30m0s, encountered errors in image deletion: [busy, no]',
      );
    });
  });

  describe('a request', () => {
    it('frees the bytes by measurement', async () => {
      const node = new FakeNode(20, { frees: () => 60 });
      const { outcome } = await collect(node, { request: { bytes: 100 } });
      expect(node.removedIds).toEqual(['a', 'b']);
      expect(outcome).toMatchObject({ trigger: 'request', askedBytes: 100, measuredBytes: 120 });
    });

    it('says how much it freed when that is less', async () => {
      const node = new FakeNode(20, { frees: () => 5 });
      const { outcome } = await collect(node, { request: { bytes: 100 } });
      expect(outcome.failure).toEqual({
        code: 'insufficient-space-freed',
        grpcStatus: 'FAILED_PRECONDITION',
        message: 'wanted to free 100 B, but freed 25 B',
      });
    });

    it('for everything is no failure whatever came free', async () => {
      const node = new FakeNode(20);
      const { outcome } = await collect(node, { request: { bytes: Infinity } });
      expect(node.removedIds).toHaveLength(5);
      expect(outcome.failure).toBeUndefined();
    });
  });

  it('executes exactly the plan when that is asked for', async () => {
    const node = new FakeNode(95, { frees: () => 500 });
    const { plan, outcome } = await collect(node, { exact: true });
    expect(node.removedIds).toEqual(['a', 'b']);
    expect(outcome.planId).toBe(plan.planId);
    const little = new FakeNode(95, { frees: () => 1 });
    await collect(little, { exact: true });
    expect(little.removedIds).toEqual(['a', 'b']);
  });

  it('relieves one file system after another was relieved already', async () => {
    const node = new FakeNode(95, { frees: () => 30 });
    const ports = node.ports();
    const other = { ...disk(87, '/other') };
    const plan = planCollection(input({ images: five, disks: [node.reading, other] }));
    const outcome = await carryOut(
      plan,
      {
        ...ports,
        disks: {
          read: async () => [
            ...(await node.readDisks()),
            { ...other, availableBytes: 130 + node.removedIds.length * 70 },
          ],
        },
      },
      { policy: policy(), meter, signal: new AbortController().signal },
    );
    // /other is down after the first removal, /images needs all five.
    expect(node.removedIds).toHaveLength(5);
    expect(outcome.failure).toBeUndefined();
    expect(outcome.before?.mountpoint).toBe('/images');
  });
});
