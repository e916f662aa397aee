import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ImageDetector } from './detect-images';
import { compileExempt } from '../policy/exempt';
import { planCollection } from '../collect/plan-collection';
import { ImageRecordStore } from '../records/record-store';
import { container, FakeWorker, listed } from '../testing/fake-worker';
import { disk, input, minutes, now, policy } from '../testing/plan-fixtures';
import { firstProtection } from '../policy/keep-rules';

const { signal } = new AbortController();
let worker: FakeWorker;

beforeEach(() => {
  worker = new FakeWorker();
});

describe('regret', () => {
  it('is told when an image comes back that a collection removed not long ago, and counted', async () => {
    const worker = new FakeWorker();
    const detector = worker.detector();
    const digest = `registry.example/a@sha256:${'a'.repeat(64)}`;
    const removed = (imageId: string, agoMs: number, names: string[] = []) => {
      worker.store.noteRemoved(
        new Map([[imageId, { names, removedAt: worker.clock - agoMs, planId: 'p' }]]),
      );
    };
    removed('long-ago', minutes(61));
    removed('same-id', minutes(60));
    removed('old-id', minutes(5), [digest]);
    removed('stays-away', minutes(5));
    worker.runtime.images = [
      listed('same-id'),
      listed('new-id', { repoDigests: [digest], sizeBytes: 7 }),
      listed('long-ago'),
      listed('new'),
    ];
    await detector.detect({ signal });
    expect(worker.published.map(({ subject, data }) => [subject, data.regret])).toEqual([
      ['same-id', { removedAt: '2026-11-20T11:00:00.000Z', afterMs: 3_600_000, planId: 'p' }],
      ['new-id', { removedAt: '2026-11-20T11:55:00.000Z', afterMs: 300_000, planId: 'p' }],
      ['long-ago', undefined],
      ['new', undefined],
    ]);
    expect([...worker.store.removedImages().keys()]).toEqual(['stays-away']);
    const page = await worker.registry.metrics();
    expect(page).toContain('stowage_gc_regrets_total 2');
    expect(page).toContain('stowage_gc_regret_bytes_total 107');
  });

  it('counts what a removal in the future of a clock set back is: just now', async () => {
    const worker = new FakeWorker();
    worker.store.noteRemoved(
      new Map([['a', { names: [], removedAt: worker.clock + 5000, planId: 'p' }]]),
    );
    worker.runtime.images = [listed('a')];
    await worker.detector().detect({ signal });
    expect(worker.published[0]?.data.regret).toMatchObject({ afterMs: 0 });
  });
});

describe('a clock that is set', () => {
  it.each([
    ['forwards', 40 * 365 * 86_400_000],
    ['back', -40 * 365 * 86_400_000],
  ])('%s leaves ages as they are, and pulls in progress', async (_, jump) => {
    const worker = new FakeWorker();
    const detector = worker.detector();
    worker.runtime.images = [listed('a'), listed('used')];
    worker.runtime.containers = [container('c1', 'used')];
    await detector.detect({ signal });
    worker.runtime.containers = [];
    detector.containerRemoved('c1');
    worker.hints.pullStarted('p1', ['registry.example/a:1'], worker.clock);
    worker.store.noteRemoved(
      new Map([['gone', { names: [], removedAt: worker.clock, planId: 'p' }]]),
    );
    worker.clock += minutes(10) + jump;
    worker.jumpMs = jump;
    const images = await detector.detect({ signal });
    const age = (time: number | null | undefined) => worker.clock - (time ?? 0);
    expect(images.map(({ firstDetected }) => age(firstDetected))).toEqual([
      minutes(10),
      minutes(10),
    ]);
    expect(age(worker.store.images().get('used')?.lastUsed)).toBe(minutes(10));
    expect(images[0]?.protections?.[0]?.rule).toBe('pull-in-progress');
    expect(age(worker.store.removedImages().get('gone')?.removedAt)).toBe(minutes(10));
    // So neither does a maximum age remove everything, nor a minimum age keep it for decades.
    const plan = planCollection(
      input({
        images,
        disks: [disk(99)],
        now: worker.clock,
        policy: policy({ maxAgeMs: minutes(30) }),
      }),
    );
    expect(plan.images.map(({ rule }) => rule)).toEqual(['threshold', 'pull-in-progress']);
  });
});

it('a machine that starts with a clock that is behind keeps the ages of images', async () => {
  const worker = new FakeWorker();
  worker.runtime.images = [listed('old'), listed('used')];
  worker.runtime.containers = [container('c1', 'used')];
  await worker.detector().detect({ signal });
  worker.clock += minutes(60);
  worker.runtime.images.push(listed('new'));
  await worker.detector().detect({ signal });
  // Without a clock of its own it starts long ago, and is set once the network is there.
  worker.clock -= 365 * 86_400_000;
  const detector = worker.detector({ lostContainers: 'gone' });
  worker.runtime.containers = [];
  const ages = async () =>
    (await detector.detect({ signal })).map(({ imageId, firstDetected, lastUsed }) => [
      imageId,
      worker.clock - (firstDetected ?? 0),
      lastUsed == null ? null : worker.clock - lastUsed,
    ]);
  const expected = [
    ['old', minutes(60), null],
    ['used', minutes(60), 0],
    ['new', 0, null],
  ];
  expect(await ages()).toEqual(expected);
  worker.clock += 365 * 86_400_000;
  worker.jumpMs = 365 * 86_400_000;
  expect(await ages()).toEqual(expected);
});

describe('labels and layers', () => {
  it('come with the images; with label rules an image whose labels cannot be read stays', async () => {
    const worker = new FakeWorker();
    worker.runtime.images = [listed('a'), listed('b'), listed('c')];
    worker.runtime.contents = {
      a: { layers: ['l1'], labels: { keep: 'yes' } },
      b: { layers: ['l1', 'l2'], labels: {} },
      c: new Error('busy'),
    };
    const exempt = compileExempt([], [{ label: 'keep' }]);
    const images = await worker.detector({}, { exempt, needsLabels: true }).detect({ signal });
    expect(
      images.map(({ imageId, layers, protections }) => [imageId, layers, protections]),
    ).toEqual([
      ['a', ['l1'], [{ rule: 'exempt', pattern: 'label keep' }]],
      ['b', ['l1', 'l2'], undefined],
      [
        'c',
        undefined,
        [{ rule: 'exempt', pattern: 'a label rule perhaps: its labels could not be read' }],
      ],
    ]);
    worker.runtime.contents = { c: { labels: {} } };
    const again = await worker.detector({}, { exempt, needsLabels: true }).detect({ signal });
    // What is known is not asked again, what failed is.
    expect(again.map(({ protections }) => protections?.[0]?.rule)).toEqual([
      'exempt',
      undefined,
      undefined,
    ]);
  });
});

describe('detect', () => {
  it('tells new images once and remembers when it saw them first', async () => {
    const detector = worker.detector();
    worker.runtime.images = [listed('a'), listed('b')];
    await detector.detect({ signal });
    expect(worker.takeEvents()).toEqual(['ImageDetected a', 'ImageDetected b']);
    worker.clock += minutes(5);
    await detector.detect({ signal });
    expect(worker.takeEvents()).toEqual([]);
    expect(worker.store.images().get('a')).toMatchObject({ firstDetected: now, lastUsed: null });
  });

  it('says of images when they are found anew because the records could not be used', async () => {
    const stateDir = mkdtempSync(path.join(tmpdir(), 'gc-detect-'));
    writeFileSync(path.join(stateDir, 'records.db'), 'no database '.repeat(100));
    const { log, now } = worker;
    const store = ImageRecordStore.open({
      stateDir,
      keep: 'on-disk',
      log,
      now: () => new Date(now()),
    });
    try {
      const detector = worker.detector({}, { store });
      worker.runtime.images = [listed('a')];
      await detector.detect({ signal });
      worker.runtime.images = [listed('a'), listed('b')];
      await detector.detect({ signal });
      expect(worker.published.map(({ subject, data }) => [subject, data.recordsRebuilt])).toEqual([
        ['a', true],
        ['b', undefined],
      ]);
    } finally {
      store.close();
      rmSync(stateDir, { recursive: true });
    }
  });

  it('tells images that vanished, with what was known of them', async () => {
    const detector = worker.detector();
    worker.runtime.images = [listed('a')];
    await detector.detect({ signal });
    worker.runtime.images = [];
    worker.published.length = 0;
    await detector.detect({ signal });
    expect(worker.published).toEqual([
      {
        name: 'ImageRemoved',
        subject: 'a',
        data: expect.objectContaining({
          reason: 'vanished',
          removedBy: 'unknown',
          expectedBytes: 100,
        }),
      },
    ]);
    expect(worker.store.images().size).toBe(0);
  });

  it('knows why an image is gone whose removal a killed worker had begun', async () => {
    const detector = worker.detector();
    worker.runtime.images = [listed('a')];
    await detector.detect({ signal });
    worker.store.removalBegins('a', { reason: 'max-age', planId: 'plan-9' });
    worker.runtime.images = [];
    await worker.detector().detect({ signal });
    expect(worker.published.at(-1)?.data).toMatchObject({
      reason: 'max-age',
      removedBy: 'gc-worker',
      planId: 'plan-9',
    });
  });

  it('knows it also of a removal that ended without an answer and was done later', async () => {
    const detector = worker.detector();
    worker.runtime.images = [listed('a'), listed('b')];
    await detector.detect({ signal });
    await detector.detect({ signal });
    for (const imageId of ['a', 'b']) {
      worker.store.removalBegins(imageId, { reason: 'threshold', planId: 'plan-9' });
    }
    await detector.detect({ signal });
    worker.runtime.images = [listed('b')];
    worker.published.length = 0;
    await detector.detect({ signal });
    expect(worker.published).toMatchObject([
      { subject: 'a', data: { reason: 'threshold', planId: 'plan-9', removedBy: 'gc-worker' } },
    ]);
    // The other one stayed at two looks: what happens to it later is not ours.
    worker.runtime.images = [];
    await detector.detect({ signal });
    expect(worker.published.at(-1)).toMatchObject({ subject: 'b', data: { reason: 'vanished' } });
  });

  it('takes an image that stays at the second look for one whose removal did not happen', async () => {
    worker.runtime.images = [listed('a')];
    await worker.detector().detect({ signal });
    worker.store.removalBegins('a', { reason: 'threshold', planId: 'plan-9' });
    const restarted = worker.detector();
    await restarted.detect({ signal });
    expect(worker.store.removalIntent('a')).toBeDefined();
    await restarted.detect({ signal });
    expect(worker.store.removalIntent('a')).toBeUndefined();
  });

  it('dates use, by containers in any state and by image volumes', async () => {
    worker.runtime.images = [listed('a'), listed('b'), listed('c')];
    worker.runtime.containers = [container('c1', 'a')];
    worker.runtime.volumes = { c1: ['registry.example/b:1'] };
    const images = await worker.detector().detect({ signal });
    expect(
      images.map(({ imageId, lastUsed, usedBy }) => [imageId, lastUsed, usedBy[0]?.as]),
    ).toEqual([
      ['a', now, 'container'],
      ['b', now, 'image-volume'],
      ['c', null, undefined],
    ]);
  });

  it('asks the status of a container once, and of one that is gone not again', async () => {
    worker.runtime.images = [listed('a')];
    worker.runtime.containers = [container('c1', 'a'), container('gone', 'a')];
    worker.runtime.volumes = { gone: undefined };
    const detector = worker.detector();
    await detector.detect({ signal });
    await detector.detect({ signal });
    const asked = worker.runtime.calls.filter((call) => call === 'imageVolumes c1');
    expect(asked).toHaveLength(1);
  });

  it('goes on when one container’s status fails, and asks again the next time', async () => {
    worker.runtime.images = [listed('a')];
    worker.runtime.containers = [container('bad', 'a')];
    worker.runtime.volumes = { bad: new Error('not now') };
    const detector = worker.detector();
    await detector.detect({ signal });
    expect(worker.store.images().get('a')?.usedBy).toHaveLength(1);
    expect(worker.lines.map(({ message }) => message)).toContain(
      'image volumes of a container unknown',
    );
    await detector.detect({ signal });
    expect(worker.runtime.calls.filter((call) => call === 'imageVolumes bad')).toHaveLength(2);
  });

  it('ends with its signal in the middle of a status, and logs nothing about the container', async () => {
    worker.runtime.images = [listed('a')];
    worker.runtime.containers = [container('c1', 'a')];
    const stopping = new AbortController();
    worker.runtime.imageVolumes = () => {
      stopping.abort(new Error('the service stops'));
      return Promise.reject(new Error('cancelled by the caller'));
    };
    const looked = worker.detector().detect({ signal: stopping.signal });
    await expect(looked).rejects.toThrow('the service stops');
    expect(worker.lines).toEqual([]);
  });

  it('gives up the whole detection for one container’s status with kubelet’s option', async () => {
    worker.runtime.images = [listed('a')];
    worker.runtime.containers = [container('bad', 'a')];
    worker.runtime.volumes = { bad: new Error('not now') };
    const detector = worker.detector({ containerStatusError: 'abort-detection' });
    await expect(detector.detect({ signal })).rejects.toThrow('get container status: not now');
    expect(worker.store.images().size).toBe(0);
  });

  it.each(['listImages', 'listContainers'])(
    'changes nothing when the runtime goes at %s',
    async (goesAt) => {
      const detector = worker.detector();
      worker.runtime.images = [listed('a')];
      await detector.detect({ signal });
      worker.takeEvents();
      worker.runtime.goesAt = { call: goesAt, error: new Error('connection lost') };
      worker.runtime.images = [];
      await expect(detector.detect({ signal })).rejects.toThrow('connection lost');
      expect(worker.takeEvents()).toEqual([]);
      expect([...worker.store.images().keys()]).toEqual(['a']);
    },
  );

  it('keeps the runtime’s sandbox image, and only if pinned with kubelet’s option', async () => {
    worker.runtime.images = [listed('p', { repoTags: ['registry.k8s.io/pause:3.9'] }), listed('a')];
    worker.runtime.sandbox = 'registry.k8s.io/pause:3.9';
    const images = await worker.detector().detect({ signal });
    expect(images[0]?.protections).toEqual([
      { rule: 'sandbox-image', reference: 'registry.k8s.io/pause:3.9' },
    ]);
    expect(images[1]?.protections).toBeUndefined();
    const asKubelet = worker.detector({ sandboxImage: 'only-if-pinned' });
    expect((await asKubelet.detect({ signal }))[0]?.protections).toBeUndefined();
  });

  it('keeps the sandbox image that is configured with tag and digest, and listed without the tag', async () => {
    const digest = `sha256:${'d'.repeat(64)}`;
    worker.runtime.images = [
      listed('pause', { repoTags: [], repoDigests: [`registry.k8s.io/pause@${digest}`] }),
      listed('other'),
    ];
    worker.runtime.sandbox = `registry.k8s.io/pause:3.10@${digest}`;
    const [pause, other] = await worker.detector().detect({ signal });
    expect(pause?.protections).toEqual([
      { rule: 'sandbox-image', reference: `registry.k8s.io/pause:3.10@${digest}` },
    ]);
    expect(other?.protections).toBeUndefined();
  });

  it('works with a runtime that does not tell its sandbox image', async () => {
    worker.runtime.images = [listed('a')];
    expect((await worker.detector().detect({ signal }))[0]?.protections).toBeUndefined();
    expect(worker.useUnknown).toBeUndefined();
  });

  it('adds exempt patterns, pulls in progress and holds', async () => {
    worker.runtime.images = [listed('a')];
    worker.hints.pullStarted('p1', ['registry.example/a:1'], now);
    worker.hints.hold(['a'], now + 1, now);
    const detector = worker.detector({}, { exempt: compileExempt(['registry.example/*']) });
    const [image] = await detector.detect({ signal });
    expect(image?.protections?.map(({ rule }) => rule).sort()).toEqual([
      'exempt',
      'held',
      'pull-in-progress',
    ]);
  });

  it('dates the use of an image that was told before it was detected', async () => {
    worker.hints.usedBeforeDetection('a', now - 500);
    worker.runtime.images = [listed('a')];
    const [image] = await worker.detector().detect({ signal });
    expect(image?.lastUsed).toBe(now - 500);
  });
});

describe('protectionNow', () => {
  it.each([
    ['forwards', 40 * 365 * 86_400_000],
    ['back', -40 * 365 * 86_400_000],
  ])('keeps an image that is pulled when the clock was set %s since the plan', async (_, jump) => {
    worker.runtime.images = [listed('a')];
    const detector = worker.detector();
    const images = await detector.detect({ signal });
    const [image] = planCollection(input({ images })).images;
    worker.hints.pullStarted('p1', ['registry.example/a:1'], worker.clock);
    worker.clock += jump;
    worker.jumpMs = jump;
    expect(await detector.protectionNow(image!, { signal })).toMatchObject({
      rule: 'pull-in-progress',
    });
    // What remains of the time of a pull is what it was.
    worker.clock += minutes(61);
    expect(await detector.protectionNow(image!, { signal })).toBeUndefined();
  });

  it('sees a container that came since the plan, and dates the use', async () => {
    worker.runtime.images = [listed('a')];
    const detector = worker.detector();
    const images = await detector.detect({ signal });
    worker.clock += minutes(5);
    const plan = planCollection(input({ images, disks: [disk(95)], now: worker.clock }));
    const [image] = plan.images;
    expect(image?.verdict).toBe('remove');
    expect(await detector.protectionNow(image!, { signal })).toBeUndefined();
    worker.runtime.containers = [container('c1', 'a')];
    expect(await detector.protectionNow(image!, { signal })).toEqual({
      rule: 'in-use',
      why: 'container c1',
    });
    expect(worker.store.images().get('a')?.lastUsed).toBe(worker.clock);
  });

  it('sees that an image was tagged or pinned since the plan', async () => {
    worker.runtime.images = [listed('a')];
    const detector = worker.detector({}, { exempt: compileExempt(['registry.example/keep/**']) });
    const images = await detector.detect({ signal });
    const [image] = planCollection(input({ images })).images;
    const tagged = (name: string) =>
      listed('a', { repoTags: ['registry.example/a:1', `registry.example/${name}`] });
    worker.runtime.images = [tagged('keep/a:2')];
    expect(await detector.protectionNow(image!, { signal })).toMatchObject({ rule: 'exempt' });
    worker.runtime.images = [tagged('a:2')];
    expect(await detector.protectionNow(image!, { signal })).toBeUndefined();
    worker.hints.creationStarted('c1', ['registry.example/a:2'], worker.clock, worker.clock);
    expect(await detector.protectionNow(image!, { signal })).toMatchObject({
      rule: 'container-creating',
    });
    worker.hints.creationEnded('c1');
    worker.runtime.images = [listed('a', { pinned: true })];
    expect(await detector.protectionNow(image!, { signal })).toMatchObject({ rule: 'pinned' });
    worker.runtime.images = [];
    expect(await detector.protectionNow(image!, { signal })).toBeUndefined();
  });

  it('sees that an image was pulled or used since the plan, where no container of it is left', async () => {
    worker.runtime.images = [listed('a'), listed('b')];
    const detector = worker.detector();
    const before = await detector.detect({ signal });
    worker.store.used('b', worker.clock);
    const images = [before[0]!, { ...before[1]!, lastUsed: worker.clock }];
    worker.clock += minutes(5);
    const plan = planCollection(input({ images, disks: [disk(95)], now: worker.clock }));
    const [a, b] = plan.images;
    expect([a?.verdict, b?.verdict]).toEqual(['remove', 'remove']);
    worker.clock += 1000;
    worker.store.used('a', worker.clock);
    expect(await detector.protectionNow(a!, { signal })).toEqual({
      rule: 'recently-used',
      why: 'last used 2026-11-20T12:05:01.000Z, after the plan was made',
    });
    expect(await detector.protectionNow(b!, { signal })).toBeUndefined();
  });

  it('sees since the plan that its namespace is exempt', async () => {
    worker.runtime.images = [listed('a')];
    const detector = worker.detector(
      {},
      {
        exempt: compileExempt([], [{ namespace: 'shop' }]),
      },
    );
    const images = await detector.detect({ signal });
    const [image] = planCollection(input({ images })).images;
    worker.runtime.containers = [{ ...container('c1', 'a'), podNamespace: 'shop', podName: 'p' }];
    await detector.detect({ signal });
    worker.runtime.containers = [];
    detector.containerRemoved('c1');
    expect(await detector.protectionNow(image!, { signal })).toMatchObject({ rule: 'exempt' });
  });

  it('knows what a new container mounts, also where a look that began before ends meanwhile', async () => {
    const { runtime } = worker;
    runtime.images = [listed('a'), listed('b')];
    runtime.containers = [container('gone', 'other')];
    const detector = worker.detector();
    const images = await detector.detect({ signal });
    const [a, b] = planCollection(input({ images })).images;
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    let answerPods: () => void = () => undefined;
    let answerStatus: () => void = () => undefined;
    jest
      .spyOn(runtime, 'listPods')
      .mockImplementationOnce(() => new Promise((resolve) => (answerPods = () => resolve([]))));
    jest
      .spyOn(runtime, 'imageVolumes')
      .mockImplementation((id) =>
        id === 'mounts'
          ? Promise.resolve(['b'])
          : new Promise((resolve) => (answerStatus = () => resolve([]))),
      );
    runtime.containers = [];
    const first = detector.protectionNow(a!, { signal });
    await turn();
    runtime.containers = [container('slow', 'other'), container('mounts', 'other')];
    const second = detector.protectionNow(b!, { signal });
    await turn();
    answerPods();
    await first;
    answerStatus();
    expect(await second).toMatchObject({ rule: 'in-use' });
  });

  it('judges an image whose status fails by what the plan knows of it', async () => {
    worker.runtime.images = [listed('a')];
    const detector = worker.detector();
    const images = await detector.detect({ signal });
    const [image] = planCollection(input({ images })).images;
    const damaged = () => Promise.reject(new Error('layer not known'));
    jest.spyOn(worker.runtime, 'findImage').mockImplementation(damaged);
    expect(await detector.protectionNow(image!, { signal })).toBeUndefined();
    worker.hints.pullStarted('p1', ['registry.example/a:1'], now);
    expect(await detector.protectionNow(image!, { signal })).toMatchObject({
      rule: 'pull-in-progress',
    });
  });

  it('sees a pull that began since the plan', async () => {
    worker.runtime.images = [listed('a')];
    const detector = worker.detector();
    const images = await detector.detect({ signal });
    const [image] = planCollection(input({ images })).images;
    worker.hints.pullStarted('p1', ['registry.example/a:1'], now);
    expect(await detector.protectionNow(image!, { signal })).toMatchObject({
      rule: 'pull-in-progress',
    });
  });
});

describe('containers that are not listed any more', () => {
  const web = { ...container('web', 'used'), podNamespace: 'shop', podName: 'cart-0' };
  const rules = async (detector: ImageDetector) =>
    (await detector.detect({ signal })).map((image) => firstProtection(image)?.rule);

  beforeEach(() => {
    worker.runtime.images = [listed('used'), listed('volume'), listed('unused')];
    worker.runtime.containers = [web];
    worker.runtime.volumes = { web: ['volume'] };
  });

  it('keep their images for a bounded time, without being seen in use', async () => {
    const detector = worker.detector();
    expect(await rules(detector)).toEqual(['in-use', 'in-use', undefined]);
    worker.runtime.containers = [];
    worker.clock += minutes(10);
    const [used] = await detector.detect({ signal });
    expect(used?.lastUsed).toBe(now);
    expect(firstProtection(used!)?.why).toBe(
      'container web of pod shop/cart-0, which is not listed any more and was not seen to be removed',
    );
    expect(detector.useStatus()).toEqual({ lostContainers: 1, lostForMs: 0 });
    expect(detector.lookAgainInMs()).toBe(5000);
    worker.clock += 29_999;
    expect(await rules(detector)).toEqual(['in-use', 'in-use', undefined]);
    expect(detector.useStatus()).toEqual({ lostContainers: 1, lostForMs: 29_999 });
    worker.clock += 1;
    expect(await rules(detector)).toEqual([undefined, undefined, undefined]);
    expect(detector.useStatus()).toEqual({ lostContainers: 0 });
    expect(detector.lookAgainInMs()).toBeUndefined();
  });

  it('keep them in the look before a removal, too', async () => {
    const detector = worker.detector();
    const images = await detector.detect({ signal });
    const { images: planned } = planCollection(input({ images }));
    worker.runtime.containers = [];
    for (const image of planned) {
      const protection = await detector.protectionNow(image, { signal });
      expect([image.imageId, protection?.rule]).toEqual([
        image.imageId,
        image.imageId === 'unused' ? undefined : 'in-use',
      ]);
    }
  });

  it('keep them over a restart of the worker, which knows them by its records', async () => {
    await worker.detector().detect({ signal });
    worker.runtime.containers = [];
    const restarted = worker.detector();
    expect(await rules(restarted)).toEqual(['in-use', 'in-use', undefined]);
    expect(await rules(worker.detector({ inUseMatch: 'image-id' }))).toEqual([
      'in-use',
      'in-use',
      undefined,
    ]);
    worker.clock += 30_000;
    expect(await rules(restarted)).toEqual([undefined, undefined, undefined]);
  });

  it('keep them for longer while the runtime comes and goes, or lists their pod as ready', async () => {
    const detector = worker.detector();
    await detector.detect({ signal });
    worker.runtime.containers = [];
    await detector.detect({ signal });
    worker.clock += 20_000;
    worker.runtime.failure = new Error('connection refused');
    await expect(detector.detect({ signal })).rejects.toThrow('connection refused');
    worker.runtime.failure = undefined;
    worker.clock += 20_000;
    expect(await rules(detector)).toEqual(['in-use', 'in-use', undefined]);
    worker.runtime.pods = [{ podNamespace: 'shop', podName: 'cart-0', isReady: true }];
    worker.clock += 20_000;
    expect(await rules(detector)).toEqual(['in-use', 'in-use', undefined]);
    worker.clock += 20_000;
    expect(await rules(detector)).toEqual([undefined, undefined, undefined]);
  });

  it('are gone at once when their removal was seen, and all the same when they are back', async () => {
    const detector = worker.detector();
    await detector.detect({ signal });
    worker.runtime.containers = [];
    await detector.detect({ signal });
    worker.runtime.containers = [web];
    worker.clock += 40_000;
    expect(await rules(detector)).toEqual(['in-use', 'in-use', undefined]);
    detector.containerRemoved('web');
    // What is listed is there, whatever an event says.
    expect(await rules(detector)).toEqual(['in-use', 'in-use', undefined]);
    worker.runtime.containers = [];
    expect(await rules(detector)).toEqual([undefined, undefined, undefined]);
  });

  it('are gone at once with kubelet’s option', async () => {
    const detector = worker.detector({ lostContainers: 'gone' });
    await detector.detect({ signal });
    worker.runtime.containers = [];
    expect(await rules(detector)).toEqual([undefined, undefined, undefined]);
    expect(worker.runtime.calls).not.toContain('listPods');
  });

  it('are logged once when they are more than those that are there', async () => {
    const detector = worker.detector();
    await detector.detect({ signal });
    worker.runtime.containers = [];
    await detector.detect({ signal });
    await detector.detect({ signal });
    expect(worker.lines.filter(({ message }) => message.includes('stay for now'))).toMatchObject([
      { fields: { missing: 1, listed: 0, keptForMs: 30_000 } },
    ]);
  });
});

describe('what the runtime does not tell of the use of images', () => {
  const rules = async (detector: ImageDetector) =>
    (await detector.detect({ signal })).map((image) => firstProtection(image)?.rule);

  beforeEach(() => {
    worker.runtime.images = [listed('a'), listed('b')];
  });

  it.each([
    [
      'a status that fails',
      new Error('status.ImageRef is not set'),
      'the images mounted by container c1 cannot be read: status.ImageRef is not set',
    ],
    [
      'a container that is listed and whose status is not found, twice',
      undefined,
      'the images mounted by container c1 cannot be read: it is listed, and its status is not found',
    ],
  ])('keeps what it may mount, and says why: %s', async (_, volumes, reason) => {
    worker.runtime.containers = [container('c1', 'a')];
    worker.runtime.volumes = { c1: volumes };
    const detector = worker.detector();
    if (volumes === undefined) await detector.detect({ signal });
    expect(await rules(detector)).toEqual(['in-use', 'use-unknown']);
    expect(worker.useUnknown).toBe(reason);
    expect(detector.useStatus()).toEqual({ lostContainers: 0, unknown: reason });
    worker.runtime.volumes = {};
    expect(await rules(detector)).toEqual(['in-use', undefined]);
    expect(worker.useUnknown).toBeUndefined();
  });

  it('keeps an image that a container mounts which is made between plan and removal, and has no status', async () => {
    const detector = worker.detector();
    const [a] = planCollection(input({ images: await detector.detect({ signal }) })).images;
    worker.runtime.containers = [container('c1', 'b')];
    worker.runtime.volumes = { c1: new Error('not now') };
    expect(await detector.protectionNow(a!, { signal })).toMatchObject({ rule: 'use-unknown' });
  });

  it('remembers the image of a container that is listed without one later', async () => {
    const detector = worker.detector();
    worker.runtime.containers = [container('c1', 'a')];
    await detector.detect({ signal });
    const nameless = { ...container('c1', ''), imageRef: '', imageNames: [] };
    worker.runtime.containers = [nameless];
    expect(await rules(detector)).toEqual(['in-use', undefined]);
    expect(await rules(worker.detector())).toEqual(['in-use', undefined]);
  });

  it('keeps every image while it is not known which one a container has', async () => {
    const nameless = { ...container('c1', ''), imageRef: '', imageNames: [] };
    worker.runtime.containers = [nameless];
    const detector = worker.detector();
    expect(await rules(detector)).toEqual(['use-unknown', 'use-unknown']);
    expect(worker.useUnknown).toBe('the runtime does not say which image container c1 uses');
    worker.runtime.containers = [nameless, { ...nameless, containerId: 'c2' }];
    await detector.detect({ signal });
    expect(worker.useUnknown).toBe(
      'the runtime does not say which image container c1 and 1 more use',
    );
    // A name that an image has is enough, and an id or digest of an image that is not there.
    const digest = `registry.example/x@sha256:${'f'.repeat(64)}`;
    worker.runtime.containers = [
      { ...nameless, imageNames: ['registry.example/b:1'] },
      { ...nameless, containerId: 'c2', imageRef: digest },
      { ...nameless, containerId: 'c3', imageId: 'gone' },
    ];
    expect(await rules(detector)).toEqual([undefined, 'in-use']);
    expect(worker.useUnknown).toBeUndefined();
  });

  it('counts a container that is listed twice once', async () => {
    worker.runtime.containers = [container('c1', 'a'), { ...container('c1', 'a') }];
    const [a] = await worker.detector().detect({ signal });
    expect(a?.usedBy).toHaveLength(1);
  });

  it('keeps every image while the sandbox image is not known, until it is named or told', async () => {
    worker.runtime.images = [listed('p', { repoTags: ['registry.k8s.io/pause:3.9'] }), listed('a')];
    worker.runtime.sandbox = new Error(
      'Status with verbose is not allowed on the read-only socket',
    );
    const refused = worker.detector();
    expect(await rules(refused)).toEqual(['use-unknown', 'use-unknown']);
    expect(worker.useUnknown).toBe(
      'the runtime does not say which image it starts pods with (Status with verbose is not allowed ' +
        'on the read-only socket): name it with sandboxImage (STOWAGE_SANDBOX_IMAGE)',
    );
    const named = worker.detector({}, { sandboxImage: 'registry.k8s.io/pause:3.9' });
    expect(await rules(named)).toEqual(['sandbox-image', undefined]);
    expect(worker.useUnknown).toBeUndefined();
    expect(await rules(worker.detector({ sandboxImage: 'only-if-pinned' }))).toEqual([
      undefined,
      undefined,
    ]);
    worker.runtime.sandbox = 'registry.k8s.io/pause:3.9';
    expect(await rules(refused)).toEqual(['sandbox-image', undefined]);
    // What it said once holds when it does not answer later.
    worker.runtime.sandbox = new Error('busy');
    expect(await rules(refused)).toEqual(['sandbox-image', undefined]);
  });

  it('keeps the image of a container that was asked for a moment ago', async () => {
    const detector = worker.detector();
    const [a] = planCollection(input({ images: await detector.detect({ signal }) })).images;
    worker.hints.creationStarted('c', ['registry.example/a:1'], now, now);
    expect(await detector.protectionNow(a!, { signal })).toEqual({
      rule: 'container-creating',
      why: 'a container of registry.example/a:1 was asked for at 2026-11-20T12:00:00.000Z',
    });
    worker.clock += minutes(2);
    expect(await detector.protectionNow(a!, { signal })).toBeUndefined();
  });
});

describe('a removal that another service told', () => {
  it('is not told again as vanished, and is nothing where the runtime lists the image', async () => {
    const detector = worker.detector();
    worker.runtime.images = [listed('stays'), listed('goes')];
    await detector.detect({ signal });
    worker.takeEvents();
    worker.clock += minutes(5);
    for (const imageId of ['stays', 'goes']) worker.hints.removedByOther(imageId, worker.clock);
    worker.runtime.images = [listed('stays')];
    await detector.detect({ signal });
    expect(worker.takeEvents()).toEqual([]);
    expect([...worker.store.images().values()]).toMatchObject([
      { imageId: 'stays', firstDetected: now },
    ]);
  });
});

it('keeps what an operator holds, with the reason, before what an event holds', async () => {
  const worker = new FakeWorker();
  worker.runtime.images = [listed('a')];
  worker.hints.hold(['registry.example/a:1'], now + minutes(60), now);
  worker.held.set('a', { until: now + minutes(5), reason: 'looking into a crash' });
  const [image] = await worker.detector().detect({ signal: new AbortController().signal });
  expect(image && firstProtection(image)).toEqual({
    rule: 'held',
    why: 'held until 2026-11-20T12:05:00.000Z: looking into a crash',
  });
});

it('knows when the records began, also when the clock is set', async () => {
  const { signal: never } = new AbortController();
  const worker = new FakeWorker();
  const detector = worker.detector();
  await detector.detect({ signal: never });
  expect(worker.began.recordsBegan).toBe(now);
  worker.clock += minutes(5);
  await detector.detect({ signal: never });
  expect(worker.began.recordsBegan).toBe(now);
  worker.clock += minutes(600);
  worker.jumpMs += minutes(600);
  await detector.detect({ signal: never });
  expect(worker.began.recordsBegan).toBe(now + minutes(600));
});
