import type { CommandAnswer, gcWorker } from '@stowage/commands';
import type { StatusSection } from '@stowage/service-kit';
import {
  diskCells,
  diskColumns,
  imageName,
  planText,
  shortId,
  sizeText,
  spanText,
  type Cell,
  type Table,
} from '@stowage/status-view';

type GcStatus = CommandAnswer<typeof gcWorker.status>;
type Collection = NonNullable<GcStatus['lastCollection']>;

/** What the status page shows of the worker: the answer to the command `status` in words. */
export const gcSections = (status: GcStatus, now: number): StatusSection[] => [
  diskSection(status, now),
  collectingSection(status),
  lastCollectionSection(status.lastCollection),
];

function diskSection({ disks, policy, diskProblem }: GcStatus, now: number): StatusSection {
  const insufficient = disks
    .filter(({ overHigh, breakdown }) => overHigh && breakdown?.imagesSuffice === false)
    .map(
      ({ mountpoint }) =>
        `Not even the removal of all images would bring ${mountpoint} down to its low mark.`,
    );
  return {
    title: 'Disks',
    tables: [
      {
        columns: diskColumns,
        rows: disks.map((disk) => diskCells(disk, policy, now)),
        empty: diskProblem === undefined ? 'The runtime has named none yet.' : 'Not known now.',
      },
    ],
    notes: [...(diskProblem === undefined ? [] : [diskProblem]), ...insufficient],
  };
}

function collectingSection(status: GcStatus): StatusSection {
  const { policy, policyRefused, collects, paused, records, use, exemptUnmatched } = status;
  const remarks = [
    policyRefused && `The policy of ${policyRefused.at} was refused: ${policyRefused.reason}`,
    use.unknown && `Unused images are kept: ${use.unknown}`,
    exemptUnmatched.length > 0
      ? `Exempt, but no image is: ${exemptUnmatched.join(', ')}`
      : undefined,
  ];
  return {
    title: 'Collecting',
    facts: [
      ['Collections', modeCell(policy.collect, collects, paused)],
      ['Images known', String(records.images)],
      ['Their records', recordsCell(records)],
    ],
    notes: remarks.filter((remark) => remark !== undefined),
  };
}

function modeCell(
  mode: GcStatus['policy']['collect'],
  collects: boolean,
  paused: GcStatus['paused'],
): Cell {
  if (paused != null) {
    return { text: `paused until ${paused.until}: ${paused.reason}`, tone: 'warning' };
  }
  if (mode === 'off') return { text: 'off', tone: 'warning' };
  if (mode === 'shadow') return { text: 'in shadow: planned, nothing is removed', tone: 'warning' };
  return collects ? 'on' : { text: 'on, but none can start by itself', tone: 'warning' };
}

const recordsCell = ({ state, path, reason, since }: GcStatus['records']): Cell =>
  state === 'on-disk'
    ? path
    : {
        text: [`${state}: ${path}`, reason, since && `since ${since}`]
          .filter((part) => part !== undefined)
          .join(', '),
        tone: 'warning',
      };

function lastCollectionSection(last: GcStatus['lastCollection']): StatusSection {
  const title = 'Last collection';
  if (last == null) return { title, notes: ['None since the start of this process.'] };
  const { failure } = last;
  return {
    title,
    facts: [
      ['Began', `${last.startedAt}, took ${spanText(last.durationMs)}`],
      ['Cause', `${last.trigger}, ${planText(last.planId)}`],
      ['Result', resultCell(last)],
      ['Freed', freedText(last)],
      ...(last.limitedBy === undefined ? [] : [['Ended by', last.limitedBy] as const]),
      ...(failure === undefined
        ? []
        : [['Fell short', { text: `${failure.code}: ${failure.message}`, tone: 'bad' }] as const]),
    ],
    tables: [keptTable(last), imagesTable(last), failuresTable(last)],
  };
}

function resultCell({ shadow, removedCount, attemptedCount, failure }: Collection): Cell {
  if (shadow !== undefined) {
    return {
      text: `in shadow: ${shadow.wouldRemoveCount} images would have been removed`,
      tone: 'warning',
    };
  }
  const text = `${removedCount} of ${attemptedCount} images removed`;
  return { text, tone: failure === undefined ? 'good' : 'bad' };
}

function freedText(last: Collection): string {
  const { askedBytes, expectedBytes, measuredBytes, freedBytes, leakedBytes, shadow } = last;
  if (shadow !== undefined) return `nothing; ${sizeText(shadow.expectedBytes)} expected`;
  const asked = askedBytes === undefined ? '' : `, ${sizeText(askedBytes)} asked for`;
  const leaked =
    leakedBytes === undefined ? '' : `, ${sizeText(leakedBytes)} belong to no image or container`;
  return `${sizeText(measuredBytes ?? freedBytes)}, ${sizeText(expectedBytes)} expected${asked}${leaked}`;
}

const keptTable = ({ keptByReason }: Collection): Table => ({
  heading: 'Images that stay, by rule',
  columns: [{ title: 'RULE' }, { title: 'IMAGES', align: 'right' }],
  rows: Object.entries(keptByReason).map(([rule, count]) => [rule, String(count)]),
  empty: 'None stayed.',
});

const imagesTable = ({ images }: Collection): Table => ({
  heading: 'Images, with what became of them',
  columns: [
    { title: 'IMAGE' },
    { title: 'ID' },
    { title: 'RESULT' },
    { title: 'RULE' },
    { title: 'WHY' },
  ],
  rows: images.map(({ imageId, repoTags, result, rule, why }) => [
    imageName({ imageId, repoTags }),
    shortId(imageId),
    { text: result, tone: resultTones[result] ?? 'dim' },
    rule,
    why,
  ]),
  empty: 'The runtime had none.',
});

const resultTones: Readonly<Partial<Record<string, 'good' | 'warning' | 'bad'>>> = {
  removed: 'good',
  'would-remove': 'warning',
  failed: 'bad',
};

const failuresTable = ({ failures }: Collection): Table => ({
  heading: 'Removals that failed',
  columns: [{ title: 'ID' }, { title: 'STATUS' }, { title: 'WHY' }],
  rows: failures.map(({ imageId, grpcStatus, message }) => [shortId(imageId), grpcStatus, message]),
});
