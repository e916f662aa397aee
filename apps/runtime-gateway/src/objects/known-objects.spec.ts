import { KnownObjects, type ObjectStore } from './known-objects';
import type { KnownContainer } from './types';

const container = (id: string, more: Partial<KnownContainer> = {}): KnownContainer => ({
  id,
  phase: 'running',
  podSandboxId: 'sandbox-1',
  ...more,
});

function recording(): ObjectStore & { readonly written: string[] } {
  const written: string[] = [];
  return {
    written,
    put: (kind, { id, phase }) => written.push(`put ${kind} ${id} ${phase}`),
    drop: (kind, ids) => written.push(`drop ${kind} ${ids.join(' ')}`),
  };
}

describe('bounds', () => {
  it('what is beyond the bound is not remembered, what is known can still change', () => {
    const store = recording();
    const objects = new KnownObjects({ max: 2, store });
    for (const id of ['c1', 'c2', 'c3']) objects.putContainer(container(id));
    objects.putContainer(container('c1', { phase: 'exited' }));
    expect(objects.containers().map(({ id, phase }) => `${id} ${phase}`)).toEqual([
      'c1 exited',
      'c2 running',
    ]);
    expect(objects.turnedAway).toBe(1);
    expect(store.written).toEqual([
      'put container c1 running',
      'put container c2 running',
      'put container c1 exited',
    ]);
  });

  it('sandboxes and containers have a bound each', () => {
    const objects = new KnownObjects({ max: 1 });
    objects.putContainer(container('c1'));
    objects.putSandbox({ id: 's1', phase: 'ready' });
    expect(objects.counts).toEqual({ sandbox: 1, container: 1 });
  });

  it('what an earlier run knew counts, and is not written again', () => {
    const store = recording();
    const objects = new KnownObjects({ max: 1, store, containers: [container('c1')] });
    objects.putContainer(container('c2'));
    expect(objects.counts.container).toBe(1);
    expect(store.written).toEqual([]);
  });

  it('a removed object makes room once a later list does not show it', () => {
    const store = recording();
    const objects = new KnownObjects({ max: 1, store, containers: [container('c1')] });
    objects.putContainer(container('c1', { phase: 'removed' }));
    objects.forgetRemoved('container', new Set(['c1']), objects.revision, 0);
    expect(objects.counts.container).toBe(1);
    objects.putContainer(container('c2'));
    expect(objects.turnedAway).toBe(1);
    objects.forgetRemoved('container', new Set(), objects.revision, 0);
    expect(objects.counts.container).toBe(0);
    expect(objects.container('c1')?.phase).toBe('removed');
    objects.putContainer(container('c2'));
    expect(objects.containers().map(({ id }) => id)).toEqual(['c2']);
    expect(store.written).toEqual([
      'put container c1 removed',
      'drop container c1',
      'put container c2 running',
    ]);
  });
});

it('a removed object is forgotten when it was removed long enough ago', () => {
  const store = recording();
  const removed = container('c1', { phase: 'removed', phaseAtMs: 1000 });
  const objects = new KnownObjects({ max: 10, store, containers: [removed] });
  objects.forgetRemoved('container', new Set(), objects.revision, 1000);
  expect(objects.containers()).toEqual([removed]);
  objects.forgetRemoved('container', new Set(), objects.revision, 1001);
  expect(objects.containers()).toEqual([]);
  expect(store.written).toEqual(['drop container c1']);
});

describe('revisions', () => {
  it('an object is known to a list that began after it became known, also when it changed since', () => {
    const objects = new KnownObjects({ max: 10, containers: [container('old')] });
    const revision = objects.revision;
    objects.putContainer(container('old', { phase: 'exited' }));
    objects.putContainer(container('new'));
    expect(objects.wasKnownAt('container', 'old', revision)).toBe(true);
    expect(objects.wasKnownAt('container', 'new', revision)).toBe(false);
    expect(objects.wasKnownAt('container', 'never', revision)).toBe(false);
    expect(objects.wasKnownAt('container', 'new', objects.revision)).toBe(true);
  });

  it('a removal after the list began is not forgotten by it', () => {
    const objects = new KnownObjects({ max: 10, containers: [container('c1')] });
    const revision = objects.revision;
    objects.putContainer(container('c1', { phase: 'removed' }));
    objects.forgetRemoved('container', new Set(), revision, Infinity);
    expect(objects.container('c1')?.phase).toBe('removed');
  });
});

it.each([
  ['the whole id', 'abc1', 'abc1'],
  ['the beginning of one id', 'abd', 'abd3'],
  ['an id that is the beginning of another', 'abc', 'abc'],
  ['the beginning of several ids', 'ab', 'ab'],
  ['the beginning of none', 'x', 'x'],
  ['nothing', '', ''],
])('full id for %s', (_what, given, full) => {
  const objects = new KnownObjects({
    max: 10,
    containers: ['abc1', 'abc', 'abd3'].map((id) => container(id)),
  });
  expect(objects.fullContainerId(given)).toBe(full);
});

it('containers of a sandbox', () => {
  const objects = new KnownObjects({
    max: 10,
    containers: [container('c1'), container('c2', { podSandboxId: 's2' }), container('c3')],
  });
  expect(objects.containersOf('sandbox-1').map(({ id }) => id)).toEqual(['c1', 'c3']);
});
