import fc from 'fast-check';
import { kubeletDifferences, stowageDifferences } from '../policy/differences';
import { compareByLastUse, planCollection, type CollectionPlan } from './plan-collection';
import { disk, image, input, minutes, now, policy, type TestInput } from '../testing/plan-fixtures';
import type { PlanImage } from '../policy/keep-rules';

const verdicts = (plan: CollectionPlan) =>
  plan.images.map(({ imageId, verdict, rule }) => `${imageId} ${verdict} ${rule}`);
const removed = (plan: CollectionPlan) =>
  plan.images.filter(({ verdict }) => verdict === 'remove').map(({ imageId }) => imageId);
const user = { as: 'container', containerId: 'c1', containerName: 'web' } as const;

describe('planCollection', () => {
  it('removes nothing below the high mark and says so', () => {
    const plan = planCollection(input({ images: [image('a')], disks: [disk(84)] }));
    expect(plan.trigger).toBe('none');
    expect(plan.images[0]).toMatchObject({
      verdict: 'keep',
      rule: 'below-threshold',
      why: '/images is 84 % used; the high threshold is 85 %',
      order: 1,
    });
  });

  it('removes least recently used images until the expected sum reaches the amount', () => {
    const plan = planCollection(
      input({
        disks: [disk(95)],
        images: [
          image('used-late', { lastUsed: now - minutes(5) }),
          image('used-early', { lastUsed: now - minutes(50) }),
          image('never-used', { firstDetected: now - minutes(30) }),
          image('never-used-older'),
        ],
      }),
    );
    expect(plan).toMatchObject({
      trigger: 'threshold',
      bytesToFree: 150,
      removeCount: 2,
      expectedBytes: 200,
      expectedIsEstimate: true,
      keptByRule: { 'enough-freed': 2 },
    });
    expect(verdicts(plan)).toEqual([
      'never-used-older remove threshold',
      'never-used remove threshold',
      'used-early keep enough-freed',
      'used-late keep enough-freed',
    ]);
  });

  it.each([
    ['more than all that may go would free', { minReclaimBytes: 500 }, {}, []],
    ['as much as they would free', { minReclaimBytes: 100 }, {}, ['a', 'b']],
    ['off', {}, {}, ['a', 'b']],
    ['and a request', { minReclaimBytes: 500 }, { request: { bytes: 1000 } }, ['a', 'b']],
    ['and little to free', { minReclaimBytes: 500 }, { disks: [disk(85)] }, ['a']],
  ])('minReclaim: %s', (_, values, more, going) => {
    const sizeBytes = 50;
    const images = [
      image('a', { sizeBytes }),
      image('b', { sizeBytes }),
      image('used', { usedBy: [user] }),
    ];
    const plan = planCollection(
      input({ images, disks: [disk(99)], policy: policy(values), ...more }),
    );
    expect(removed(plan)).toEqual(going);
    expect(plan.collectableBytes).toBe(100);
    if (going.length > 0) return;
    expect(plan.keptByRule).toEqual({ 'min-reclaim': 2, 'in-use': 1 });
    expect(plan.images[0]).toMatchObject({
      rule: 'min-reclaim',
      why: 'all images that may go are expected to free 100 B of 190 B, less than 500 B (minReclaim)',
    });
  });

  it('minReclaim counts what is left for space after removals by age', () => {
    const images = [image('a'), image('b', { firstDetected: now - minutes(5) })];
    const some = policy({ minReclaimBytes: 150, maxAgeMs: minutes(30) });
    const plan = planCollection(input({ images, disks: [disk(99)], policy: some }));
    expect(verdicts(plan)).toEqual(['a remove max-age', 'b remove threshold']);
    const more = planCollection(input({ images, disks: [disk(100)], policy: some }));
    expect(verdicts(more)).toEqual(['a remove max-age', 'b remove threshold']);
  });

  it('what may be collected leaves out what is protected, too young or paused, and counts layers once', () => {
    const plan = planCollection(
      input({
        images: [
          image('a', { layers: ['base'], sizeBytes: 100 }),
          image('b', { layers: ['base', 'b'], sizeBytes: 130 }),
          image('young', { firstDetected: now }),
          image('used', { usedBy: [user] }),
          image('paused'),
        ],
        paused: new Map([['paused', 'it failed']]),
      }),
    );
    expect([plan.removeCount, plan.collectableBytes]).toEqual([0, 130]);
  });

  it('counts shared layers once where the runtime tells them, and marks what is an estimate', () => {
    const images = [
      image('base', { sizeBytes: 100, layers: ['a'], firstDetected: now - minutes(99) }),
      image('one', { sizeBytes: 130, layers: ['a', 'b'], firstDetected: now - minutes(98) }),
      image('two', { sizeBytes: 150, layers: ['a', 'c'], firstDetected: now - minutes(97) }),
      image('other', { sizeBytes: 70, firstDetected: now - minutes(96) }),
    ];
    const plan = planCollection(input({ images, request: { bytes: 250 } }));
    expect(
      plan.images.map(({ imageId, verdict, expectedBytes, expectedIsEstimate }) =>
        [imageId, verdict, expectedBytes, expectedIsEstimate].join(' '),
      ),
    ).toEqual([
      'base remove 0 false',
      'one remove 30 false',
      'two remove 150 false',
      'other remove 70 true',
    ]);
    expect(plan).toMatchObject({ expectedBytes: 250, expectedIsEstimate: true });
    const kubelet = planCollection(
      input({
        images,
        request: { bytes: 200 },
        policy: policy({ differences: kubeletDifferences }),
      }),
    );
    expect(removed(kubelet)).toEqual(['base', 'one']);
  });

  it('orders by cost where that is asked for: size times pull time against idle time', () => {
    const some = policy({ order: 'cost' });
    const pulled = (durationMs: number) => ({ durationMs, sizeBytes: null });
    const order = (...images: PlanImage[]) =>
      planCollection(input({ images, policy: some })).images.map(({ imageId }) => imageId);
    // The quick one goes first although it was used last; of equals the less recently used.
    expect(
      order(
        image('slow', { pulled: pulled(60_000), lastUsed: now - minutes(40) }),
        image('quick', { pulled: pulled(1000), lastUsed: now - minutes(20) }),
        image('same-b', { pulled: pulled(5000), lastUsed: now - minutes(20) }),
        image('same-a', { pulled: pulled(10_000), lastUsed: now - minutes(40) }),
      ),
    ).toEqual(['quick', 'same-a', 'same-b', 'slow']);
    // Without a pull of ours the others' rate counts: twice the size, four times the cost.
    expect(
      order(
        image('known', { pulled: pulled(10_000), sizeBytes: 100, lastUsed: now - minutes(10) }),
        image('small', { sizeBytes: 50, lastUsed: now - minutes(10) }),
        image('large', { sizeBytes: 200, lastUsed: now - minutes(39) }),
      ),
    ).toEqual(['small', 'known', 'large']);
  });

  it('keeps to the images and bytes of one run; the first image always may go', () => {
    const images = ['a', 'b', 'c'].map((id) => image(id));
    const byCount = planCollection(
      input({ images, disks: [disk(100)], policy: policy({ maxImagesPerRun: 1 }) }),
    );
    expect(verdicts(byCount)).toEqual(['a remove threshold', 'b keep budget', 'c keep budget']);
    expect(byCount.images[1]?.why).toBe('one collection removes at most 1 image');
    const sizes = [300, 50, 60].map((sizeBytes, at) => image(`${at}`, { sizeBytes }));
    const byBytes = planCollection(
      input({ images: sizes, request: { bytes: 1000 }, policy: policy({ maxBytesPerRun: 355 }) }),
    );
    expect(verdicts(byBytes)).toEqual(['0 remove request', '1 remove request', '2 keep budget']);
    expect(byBytes.images[2]?.why).toBe('one collection removes at most 355 B, 350 B are taken');
    const byAge = planCollection(
      input({ images, policy: policy({ maxAgeMs: minutes(30), maxImagesPerRun: 2 }) }),
    );
    expect(verdicts(byAge)).toEqual(['a remove max-age', 'b remove max-age', 'c keep budget']);
    expect(byAge.trigger).toBe('max-age');
  });

  it('waits for the maintenance window, unless it is critical or asked for', () => {
    // Now is a Friday, 12:00 UTC.
    const windows = (window: string) =>
      policy({
        maintenanceWindows: [window],
        maintenanceTimeZone: 'UTC',
        maxAgeMs: minutes(30),
      });
    const at = (used: number, window: string, request?: { bytes: number }) => {
      const plan = planCollection(
        input({
          images: [image('a')],
          disks: [disk(used)],
          policy: windows(window),
          ...(request ? { request } : {}),
        }),
      );
      return [plan.trigger, plan.agePass, ...verdicts(plan)];
    };
    expect(at(90, 'Fri 11:00-13:00')).toEqual(['threshold', 'applied', 'a remove max-age']);
    expect(at(90, 'Sat 11:00-13:00')).toEqual(['none', 'outside-window', 'a keep outside-window']);
    expect(at(50, 'Sat 11:00-13:00')).toEqual(['none', 'outside-window', 'a keep below-threshold']);
    expect(at(95, 'Sat 11:00-13:00')).toEqual([
      'threshold',
      'outside-window',
      'a remove threshold',
    ]);
    expect(at(50, 'Sat 11:00-13:00', { bytes: 1 })).toEqual([
      'request',
      'applied',
      'a remove max-age',
    ]);
    const held = planCollection(
      input({ images: [image('a')], disks: [disk(90)], policy: windows('Sat 11:00-13:00') }),
    );
    expect(held.images[0]?.why).toBe(
      '/images is over the high threshold outside the maintenance windows (Sat 11:00-13:00), below 95 % used they are kept',
    );
  });

  it('gives the first rule that keeps an image, in its words', () => {
    const plan = planCollection(
      input({
        disks: [disk(100)],
        images: [
          image('a-used', { usedBy: [user, { ...user, containerId: 'c2' }], pinned: true }),
          image('b-volume', {
            usedBy: [
              { as: 'image-volume', containerId: 'c3', podNamespace: 'shop', podName: 'cart-0' },
            ],
          }),
          image('c-pinned', { pinned: true }),
          image('d-sandbox', {
            protections: [
              { rule: 'exempt', pattern: '**' },
              { rule: 'sandbox-image', reference: 'registry.k8s.io/pause:3.9' },
            ],
          }),
          image('e-exempt', { protections: [{ rule: 'exempt', pattern: 'registry.example/*' }] }),
          image('f-pull', {
            protections: [{ rule: 'pull-in-progress', reference: 'nginx:1', since: now }],
          }),
          image('g-held', { protections: [{ rule: 'held', until: now + minutes(1) }] }),
          image('h-just-used', { lastUsed: now }),
          image('i-young', { firstDetected: now - minutes(1) }),
          image('j-old-enough', { firstDetected: now - minutes(2) }),
        ],
      }),
    );
    const why = Object.fromEntries(
      plan.images.map(({ imageId, rule, why }) => [imageId, [rule, why]]),
    );
    expect(why).toEqual({
      'a-used': ['in-use', 'container web and 1 more'],
      'b-volume': ['in-use', 'image volume of container c3 of pod shop/cart-0'],
      'c-pinned': ['pinned', 'pinned by the runtime'],
      'd-sandbox': ['sandbox-image', 'the runtime starts pods with it (registry.k8s.io/pause:3.9)'],
      'e-exempt': ['exempt', 'exempt by registry.example/*'],
      'f-pull': [
        'pull-in-progress',
        'a pull of nginx:1 has been running since 2026-11-20T12:00:00.000Z',
      ],
      'g-held': ['held', 'held until 2026-11-20T12:01:00.000Z'],
      'h-just-used': ['recently-used', 'last used 2026-11-20T12:00:00.000Z, which is not past'],
      'i-young': ['min-age', 'known for 60 s, the minimum age is 120 s'],
      'j-old-enough': ['threshold', 'never seen in use; 0 B of 200 B expected so far'],
    });
  });

  describe('maximum age', () => {
    const aged = policy({ maxAgeMs: minutes(30) });

    it('removes what is idle for longer, whatever the disk says', () => {
      const plan = planCollection(
        input({
          policy: aged,
          images: [
            image('at-the-age', { lastUsed: now - minutes(30) }),
            image('older', { lastUsed: now - minutes(30) - 1 }),
          ],
        }),
      );
      expect(plan.trigger).toBe('max-age');
      expect(verdicts(plan)).toEqual(['older remove max-age', 'at-the-age keep below-threshold']);
    });

    it('counts an image never used from its detection, so a fresh pull stays', () => {
      const images = [image('fresh', { firstDetected: now - 1000 })];
      expect(removed(planCollection(input({ policy: aged, images })))).toEqual([]);
    });

    it('removes a fresh pull at once with kubelet’s option', () => {
      const asKubelet = policy({
        maxAgeMs: minutes(30),
        differences: { maxAgeCountsFrom: 'last-use' },
      });
      const images = [image('fresh', { firstDetected: now - 1000 })];
      expect(removed(planCollection(input({ policy: asKubelet, images })))).toEqual(['fresh']);
    });

    it('waits for the uptime with kubelet’s option', () => {
      const asKubelet = policy({
        maxAgeMs: minutes(30),
        differences: { maxAgeStarts: 'after-max-age-of-uptime' },
      });
      const images = [image('a', { lastUsed: now - minutes(40) })];
      const plan = (collectingSince: number) =>
        planCollection(input({ policy: asKubelet, images, collectingSince }));
      expect(plan(now - minutes(30)).agePass).toBe('not-up-long-enough');
      expect(removed(plan(now - minutes(30)))).toEqual([]);
      expect(removed(plan(now - minutes(31)))).toEqual(['a']);
    });

    it('counts what goes by age towards the amount of the space pass', () => {
      const plan = planCollection(
        input({
          policy: aged,
          disks: [disk(90)],
          images: [
            image('old', { lastUsed: now - minutes(40) }),
            image('next', { lastUsed: now - minutes(10) }),
          ],
        }),
      );
      expect(plan.bytesToFree).toBe(100);
      expect(verdicts(plan)).toEqual(['old remove max-age', 'next keep enough-freed']);
    });
  });

  describe('nothing to free although the mark is reached', () => {
    const full = { highThresholdPercent: 100, lowThresholdPercent: 100 };
    it('removes none', () => {
      const plan = planCollection(
        input({ policy: policy(full), disks: [disk(100)], images: [image('a')] }),
      );
      expect(plan.bytesToFree).toBe(0);
      expect(removed(plan)).toEqual([]);
    });
    it('removes one with kubelet’s option', () => {
      const asKubelet = policy({ ...full, differences: { nothingToFree: 'remove-one' } });
      const images = [image('a'), image('b')];
      const plan = planCollection(input({ policy: asKubelet, disks: [disk(100)], images }));
      expect(removed(plan)).toEqual(['a']);
    });
  });

  it('asks for the largest amount when several file systems are over the mark', () => {
    const disks = [disk(86, '/a'), disk(97, '/b'), disk(10, '/c')];
    expect(planCollection(input({ disks })).bytesToFree).toBe(170);
  });

  it('leaves a disk without capacity to the collection to report', () => {
    const broken = { ...disk(99), capacityBytes: 0 };
    expect(planCollection(input({ disks: [broken] }))).toMatchObject({
      trigger: 'none',
      disks: [],
    });
  });

  it('frees a requested amount below the marks', () => {
    const images = [image('a'), image('b'), image('c')];
    const plan = planCollection(input({ images, request: { bytes: 101 } }));
    expect(plan.trigger).toBe('request');
    expect(verdicts(plan)).toEqual(['a remove request', 'b remove request', 'c keep enough-freed']);
    const everything = planCollection(input({ images, request: { bytes: Infinity } }));
    expect(removed(everything)).toEqual(['a', 'b', 'c']);
  });

  describe('plan id', () => {
    const images = [image('a'), image('b')];
    const over = { images, disks: [disk(95)] };
    const id = (values: Partial<TestInput>) => planCollection(input({ ...over, ...values })).planId;
    const first = id({});

    it('is the same for the same content, whatever the order of the list and the time', () => {
      expect(first).toMatch(/^plan-[0-9a-f]{24}$/);
      expect(id({ images: [image('b'), image('a')] })).toBe(first);
      expect(id({ now: now + 1000 })).toBe(first);
      expect(id({ disks: [disk(94)] })).toBe(first);
    });

    it.each([
      ['another image goes', { images: [image('a'), image('c')] }],
      ['an image was used meanwhile', { images: [image('a'), image('b', { lastUsed: now - 1 })] }],
      [
        'an image went and came back',
        { images: [image('a'), image('b', { firstDetected: now - minutes(3) })] },
      ],
      ['the policy changed', { policy: policy({ highThresholdPercent: 84 }) }],
      ['bytes are asked for', { request: { bytes: 150 } }],
    ])('changes when %s', (_, values) => {
      expect(id(values)).not.toBe(first);
    });
  });

  describe('for any images', () => {
    const time = fc.option(fc.integer({ min: now - minutes(200), max: now + minutes(2) }));
    const anyImage: fc.Arbitrary<PlanImage> = fc
      .record({
        imageId: fc.uuid(),
        sizeBytes: fc.integer({ min: 0, max: 500 }),
        firstDetected: time,
        lastUsed: time,
        pinned: fc.boolean(),
        inUse: fc.boolean(),
        held: fc.boolean(),
      })
      .map(({ inUse, held, ...values }) =>
        image(values.imageId, {
          ...values,
          usedBy: inUse ? [user] : [],
          protections: held ? [{ rule: 'held', until: now + 1 }] : [],
        }),
      );
    const images = fc.uniqueArray(anyImage, { selector: ({ imageId }) => imageId, maxLength: 30 });
    const anyPolicy = fc
      .record({
        minAgeMs: fc.integer({ min: 0, max: minutes(120) }),
        maxAgeMs: fc.constantFrom(0, minutes(10), minutes(90)),
        asKubelet: fc.boolean(),
      })
      .map(({ asKubelet, ...values }) =>
        policy({ ...values, differences: asKubelet ? kubeletDifferences : stowageDifferences }),
      );

    it('never removes what is in use, pinned or protected, nor for space what is too young', () => {
      fc.assert(
        fc.property(images, anyPolicy, fc.integer({ min: 0, max: 100 }), (all, some, used) => {
          const plan = planCollection(input({ images: all, policy: some, disks: [disk(used)] }));
          expect(plan.images).toHaveLength(all.length);
          for (const { imageId, verdict, rule, why } of plan.images) {
            const facts = all.find((candidate) => candidate.imageId === imageId)!;
            expect(why).not.toBe('');
            if (verdict === 'keep') continue;
            expect(facts.usedBy).toEqual([]);
            expect(facts.pinned).toBe(false);
            expect(facts.protections).toEqual([]);
            if (rule === 'threshold') {
              expect(now - (facts.firstDetected ?? -Infinity)).toBeGreaterThanOrEqual(
                some.minAgeMs,
              );
              expect(facts.lastUsed ?? -Infinity).toBeLessThan(now);
            }
          }
        }),
      );
    });

    it('orders removals by last use, age first', () => {
      fc.assert(
        fc.property(images, anyPolicy, (all, some) => {
          const plan = planCollection(input({ images: all, policy: some, disks: [disk(99)] }));
          for (const rule of ['max-age', 'threshold'] as const) {
            const removals = plan.images.filter((planned) => planned.rule === rule);
            expect(removals).toEqual([...removals].sort(compareByLastUse));
          }
          const orders = plan.images.flatMap(({ order }) => (order === undefined ? [] : [order]));
          expect(orders).toEqual(orders.map((_, index) => index + 1));
        }),
      );
    });

    it('reaches the amount by expectation or leaves nothing that may go', () => {
      fc.assert(
        fc.property(images, anyPolicy, fc.integer({ min: 0, max: 5000 }), (all, some, bytes) => {
          const plan = planCollection(input({ images: all, policy: some, request: { bytes } }));
          const reserve = plan.keptByRule['enough-freed'] ?? 0;
          if (plan.expectedBytes < bytes) expect(reserve).toBe(0);
          const removals = plan.images.filter(({ rule }) => rule === 'request');
          const withoutLast = plan.expectedBytes - (removals.at(-1)?.expectedBytes ?? 0);
          if (removals.length > 1) expect(withoutLast).toBeLessThan(bytes);
        }),
      );
    });
  });
});

describe('an age that is assumed', () => {
  const began = now - minutes(1);
  const images = [
    image('there', { firstDetected: began }),
    image('used', { firstDetected: began, lastUsed: now - minutes(1) }),
    image('pulled', { firstDetected: now - 1000 }),
  ];
  const assumed = (values: object = {}) =>
    planCollection(
      input({
        ...{ images, disks: [disk(95)], recordsBegan: began, assumedAgeMs: minutes(600) },
        ...values,
      }),
    );
  const rules = ({ images: planned }: ReturnType<typeof planCollection>) =>
    Object.fromEntries(planned.map(({ imageId, rule }) => [imageId, rule]));

  it('without it nothing on a fresh node is old enough', () => {
    const plan = assumed({ assumedAgeMs: undefined });
    expect(rules(plan)).toEqual({ there: 'min-age', used: 'min-age', pulled: 'min-age' });
    expect(plan.images.every((one) => one.assumedSince === undefined)).toBe(true);
  });

  it('counts for images that were there when the records began, and for no other', () => {
    const plan = assumed({ request: { bytes: 1000 } });
    expect(rules(plan)).toEqual({ there: 'request', used: 'request', pulled: 'min-age' });
    expect(plan.assumedAgeMs).toBe(minutes(600));
    expect(plan.images.find(({ imageId }) => imageId === 'there')).toMatchObject({
      firstDetected: began,
      assumedSince: began - minutes(600),
    });
  });

  it('counts for the maximum age, where the image was not seen in use', () => {
    const plan = assumed({ disks: [disk(50)], policy: policy({ maxAgeMs: minutes(300) }) });
    expect(rules(plan)).toEqual({
      there: 'max-age',
      used: 'below-threshold',
      pulled: 'min-age',
    });
    expect(plan.images[0]?.why).toBe('idle for 36060 s (assumed), the maximum age is 18000 s');
  });

  it('is none where nobody knows when the records began', () => {
    expect(rules(assumed({ recordsBegan: undefined }))).toMatchObject({ there: 'min-age' });
  });

  it('makes the same plan a moment later, and another with another age', () => {
    const { planId } = assumed();
    expect(assumed({ now: now + 5000 }).planId).toBe(planId);
    expect(assumed({ assumedAgeMs: minutes(601) }).planId).not.toBe(planId);
    expect(assumed({ policy: policy({ assumedAgeMs: 5 }) }).planId).toBe(planId);
  });
});
