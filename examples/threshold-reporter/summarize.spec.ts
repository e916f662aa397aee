import { gcWorker, type CommandReply } from '@stowage/commands';
import { createEvent, eventCatalog, parseEvent, type StowageEvent } from '@stowage/events';
import { summarize } from './summarize';

const { data, subject } = eventCatalog.ThresholdExceeded.example;

function exceeded(changes: Partial<typeof data> = {}): StowageEvent<'ThresholdExceeded'> {
  const attributes = {
    id: '01KAJB3P8Q4S6T8V0W2X4Y6Z8A',
    node: 'worker-1',
    app: 'gc-worker',
    subject,
    time: new Date(0),
    sequence: 1,
  };
  const event = parseEvent(
    Buffer.from(
      JSON.stringify(createEvent('ThresholdExceeded', attributes, { ...data, ...changes })),
    ),
  );
  if (event.name !== 'ThresholdExceeded') throw new Error(event.name);
  return event;
}

type Plan = CommandReply<typeof gcWorker.plan>;
const { reply } = gcWorker.plan.example;

const image = (n: number, verdict = 'remove') => ({
  ...reply.images[0]!,
  imageId: `sha256:${String(n)}`,
  repoTags: [`r/app:${String(n)}`],
  verdict,
  expectedBytes: 1048576 * n,
  why: 'not used\u001b[31m for 5 days',
});

const plan = (changes: Partial<Plan> = {}): Plan => ({
  ...reply,
  planId: '5f0c',
  total: 3,
  removeCount: 1,
  expectedBytes: 52428800,
  keptByRule: { 'in-use': 2 },
  images: [image(50), image(2, 'keep')],
  ...changes,
});

const head = [
  'worker-1: /var/lib/containerd is 88 % full, high mark 85 %',
  '  72.0 MiB of 600.0 MiB available, 48.0 MiB to free, full in 1 min at this rate',
];

it('reports the disk, what would go and what stays', () => {
  expect(summarize(exceeded(), plan()).split('\n')).toEqual([
    ...head,
    '  plan 5f0c: 1 of 3 images would go, about 50.0 MiB',
    '    1. r/app:50 (50.0 MiB): not used?[31m for 5 days',
    '  kept: 2 in-use',
  ]);
});

it('reports why there is no plan', () => {
  expect(summarize(exceeded(), 'nobody answers').split('\n')).toEqual([
    ...head,
    '  no plan from gc-worker: nobody answers',
  ]);
});

it('lists ten images and counts the rest; inodes and a plan that removes nothing have their words', () => {
  const many = plan({ removeCount: 60, images: Array.from({ length: 50 }, (_, i) => image(i)) });
  const lines = summarize(exceeded(), many).split('\n');
  expect(lines).toHaveLength(2 + 1 + 10 + 1 + 1);
  expect(lines.at(-2)).toBe('    and 50 more');
  const none = plan({ removeCount: 0, images: [], keptByRule: {} });
  const inodes = exceeded({ resource: 'inodes', bytesToFree: 0, trend: undefined });
  expect(summarize(inodes, none).split('\n')).toEqual([
    'worker-1: /var/lib/containerd is 8 % of its inodes used, high mark 85 %',
    '  72.0 MiB of 600.0 MiB available',
    '  plan 5f0c: none of 3 images would go',
  ]);
});
