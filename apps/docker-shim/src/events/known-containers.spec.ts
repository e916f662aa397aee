import { PodSandbox } from '@stowage/cri-proto';
import {
  KnownContainers,
  type ChangeKind,
  type ContainerEvent,
  type ListedForEvents,
  type Phase,
} from './known-containers';

const event = (kind: ChangeKind, atNs: bigint, id = 'c'): ContainerEvent => ({
  kind,
  id,
  sandboxId: 'p',
  atNs,
});
const listed = (phase: Phase, id = 'c'): ListedForEvents => ({ id, sandboxId: 'p', phase });

const known = (phase?: Phase) => {
  const containers = new KnownContainers();
  containers.begin(phase === undefined ? [] : [listed(phase)], 100n);
  return containers;
};

describe('an event', () => {
  it.each<[Phase | 'unknown', ChangeKind, ChangeKind[]]>([
    ['unknown', 'create', ['create']],
    ['unknown', 'start', ['create', 'start']],
    ['unknown', 'die', []],
    ['unknown', 'oom', []],
    ['unknown', 'destroy', []],
    ['created', 'create', []],
    ['created', 'start', ['start']],
    // It could not be started.
    ['created', 'die', ['die']],
    ['created', 'destroy', ['destroy']],
    ['running', 'start', []],
    ['running', 'oom', ['oom']],
    ['running', 'die', ['die']],
    ['running', 'destroy', ['die', 'destroy']],
    ['exited', 'start', ['start']],
    ['exited', 'die', []],
    ['exited', 'destroy', ['destroy']],
  ])('of one that is %s, %s makes %j', (phase, kind, kinds) => {
    const changes = known(phase === 'unknown' ? undefined : phase).apply(event(kind, 200n));
    expect(changes.map((change) => change.kind)).toEqual(kinds);
    for (const { source, atNs, id, sandboxId } of changes) {
      expect({ source, atNs, id, sandboxId }).toEqual({
        source: 'event',
        atNs: 200n,
        id: 'c',
        sandboxId: 'p',
      });
    }
  });

  it('counts after the clock was set back, from the next list on', () => {
    const containers = known('running');
    expect(containers.apply(event('die', 50n))).toEqual([]);
    expect(containers.differences([listed('running')], 40n)).toEqual([]);
    expect(containers.apply(event('die', 50n))).toHaveLength(1);
  });

  it('from before the list is part of it', () => {
    expect(known('running').apply(event('die', 100n))).toEqual([]);
    expect(known('running').apply(event('die', 101n))).toHaveLength(1);
  });
});

describe('a list', () => {
  it.each<[Phase | 'unknown', Phase | 'absent', ChangeKind[]]>([
    ['unknown', 'created', ['create']],
    ['unknown', 'running', ['create', 'start']],
    ['unknown', 'exited', ['create', 'start', 'die']],
    ['created', 'created', []],
    ['created', 'running', ['start']],
    ['created', 'exited', ['start', 'die']],
    ['created', 'absent', ['destroy']],
    ['running', 'running', []],
    ['running', 'exited', ['die']],
    ['running', 'absent', ['die', 'destroy']],
    ['exited', 'running', ['start']],
    ['exited', 'absent', ['destroy']],
  ])('of one known as %s that shows it %s makes %j', (before, now, kinds) => {
    const containers = known(before === 'unknown' ? undefined : before);
    const list = now === 'absent' ? [] : [listed(now)];
    const changes = containers
      .differences(list, 300n)
      .flatMap((difference) => containers.adopt(difference, 300n));
    expect(changes.map((change) => change.kind)).toEqual(kinds);
    for (const { source, atNs, sandboxId } of changes) {
      expect({ source, atNs, sandboxId }).toEqual({
        source: 'comparison',
        atNs: 300n,
        sandboxId: 'p',
      });
    }
    expect(containers.differences(list, 300n)).toEqual([]);
    // The event of the same arrives after all.
    const late = kinds.flatMap((kind) => containers.apply(event(kind, 299n)));
    expect(late).toEqual([]);
  });

  it('gives the last event of a sandbox, and those of its containers, what is known of it', () => {
    const containers = known();
    const sandbox = PodSandbox.fromPartial({ id: 'p', createdAt: 5n });
    const list: ListedForEvents[] = [{ ...listed('running', 'p'), sandbox }, listed('running')];
    containers.apply(event('start', 200n, 'p'));
    containers.apply(event('start', 201n));
    expect(containers.differences(list, 300n)).toEqual([]);
    expect(containers.apply(event('die', 202n))).toMatchObject([{ sandbox }]);
    expect(containers.apply(event('destroy', 203n, 'p'))).toMatchObject([
      { kind: 'die', sandbox },
      { kind: 'destroy', sandbox },
    ]);
  });
});

it('counts sandboxes and containers by their phase', () => {
  const containers = new KnownContainers();
  containers.begin([listed('running', 'p'), listed('running'), listed('exited', 'd')], 100n);
  containers.apply(event('create', 101n, 'e'));
  containers.apply(event('die', 102n));
  containers.apply(event('destroy', 103n, 'd'));
  expect(containers.counts()).toEqual({
    sandboxes: { created: 0, running: 1, exited: 0 },
    containers: { created: 1, running: 0, exited: 1 },
  });
});
