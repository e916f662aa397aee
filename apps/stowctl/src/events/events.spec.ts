import {
  createEvent,
  eventDefinition,
  parseEvent,
  type EventData,
  type EventName,
  type StowageEvent,
} from '@stowage/events';
import { historyOf } from './image-history';
import { PullHistory } from './pull-history';

let sequence = 0;

/** An event as it comes from the stream. */
function event<N extends EventName>(name: N, subject: string, data: EventData<N>): StowageEvent {
  sequence += 1;
  const attributes = {
    id: `01KAJB5V1B3D5F7H9K1N3Q${String(sequence).padStart(4, '0')}`,
    node: 'worker-1',
    app: eventDefinition(name).publishers[0] ?? 'gc-worker',
    subject,
    time: new Date(Date.parse('2026-11-20T22:12:00Z') + sequence * 1000),
    sequence,
  };
  return parseEvent(JSON.stringify(createEvent(name, attributes, data)));
}

const example = <N extends EventName>(name: N, more: Partial<EventData<N>> = {}): StowageEvent => {
  const { subject, data } = eventDefinition(name).example;
  return event(name, subject, { ...(data as EventData<N>), ...more });
};

describe('the history of an image', () => {
  const app = 'registry.example:5000/team/app:1.4';
  const [pulled, detected] = [example('ImagePulled'), example('ImageDetected')];
  const used = example('ContainerStarted');
  const other = example('ImageRemoved');
  const removed = example('ImageRemoved', {
    imageId: (pulled as StowageEvent<'ImagePulled'>).data.imageId,
    repoTags: [],
  });
  const all = [pulled, other, detected, used, removed];

  it('holds events by its name, and by the id that it had', () => {
    expect(historyOf(app, all)).toEqual([pulled, detected, used, removed]);
  });

  it('is the same by the id, and by the beginning of one', () => {
    const id = (pulled as StowageEvent<'ImagePulled'>).data.imageId ?? '';
    expect(historyOf(id, all)).toEqual([pulled, detected, used, removed]);
    expect(historyOf(id.slice(0, 19), all)).toEqual([pulled, detected, used, removed]);
  });

  it('is empty for another image', () => {
    expect(historyOf('team/app:1.4', all)).toEqual([]);
  });
});

describe('pulls by their events', () => {
  const pullId = 'P1';
  const started = example('ImagePullStarted', { pullId });
  const progress = example('ImagePullProgress', { pullId });
  const done = example('ImagePulled', { pullId });
  const failed = example('ImagePullFailed', { pullId });
  const after = (...events: StowageEvent[]) => {
    const history = new PullHistory();
    for (const one of events) history.add(one);
    return history;
  };

  it('one that runs has what it received', () => {
    expect(after(started, progress).pulls({ isWhole: false })).toEqual([
      expect.objectContaining({ pullId, state: 'running', percent: 50, startedAt: started.time }),
    ]);
  });

  it.each([
    ['done', done],
    ['failed', failed],
  ])('one that is %s is no longer shown as running, late progress or not', (state, end) => {
    const history = after(started, progress, end, progress);
    expect(history.pulls({ isWhole: false })).toEqual([]);
    expect(history.pulls({ isWhole: true })).toEqual([
      expect.objectContaining({ pullId, state, startedAt: started.time }),
    ]);
  });

  it('one whose beginning is not kept any more began as long ago as it says', () => {
    const [pull] = after(progress).pulls({ isWhole: false });
    expect(pull?.startedAt?.getTime()).toBe(progress.time.getTime() - 5100);
  });
});
