import type { CommandAnswer, imageService } from '@stowage/commands';
import type { StatusSection } from '@stowage/service-kit';
import { ageText, sizeText, spanText, type Cell } from '@stowage/status-view';
import type { PullInProgress } from '../listeners/pulls-in-progress';

type ImageStats = CommandAnswer<typeof imageService.stats>;

/** What the status page shows of pulls; `now` in milliseconds since the epoch. */
export const pullSections = (
  pulls: readonly PullInProgress[],
  waiting: number,
  now: number,
): StatusSection[] => [
  {
    title: 'Pulls in progress',
    facts: [['Waiting for their turn', String(waiting)]],
    tables: [
      {
        columns: [
          { title: 'IMAGE' },
          { title: 'POD' },
          { title: 'FOR', align: 'right' },
          { title: 'SHARE', align: 'right' },
          { title: 'RECEIVED', align: 'right' },
          { title: 'SPEED', align: 'right' },
          { title: 'LEFT', align: 'right' },
        ],
        rows: pulls.map((one) => pullRow(one, now)),
        empty: 'Nothing is being pulled.',
      },
    ],
  },
];

function pullRow({ pull, startedAt, progress }: PullInProgress, now: number): Cell[] {
  const { reference, requestedReference, pod } = pull;
  const { bytes, totalBytes, percent, bytesPerSecond, remainingMs, approximate } = progress ?? {};
  const about = approximate === true ? '~' : '';
  const whole = totalBytes === undefined ? '' : ` of ${sizeText(totalBytes)}`;
  return [
    reference ?? requestedReference,
    pod === undefined ? '-' : `${pod.namespace}/${pod.name}`,
    ageText(startedAt.toISOString(), now),
    percent === undefined ? '-' : `${percent} %`,
    bytes === undefined ? '-' : `${about}${sizeText(bytes)}${whole}`,
    bytesPerSecond === undefined ? '-' : `${sizeText(bytesPerSecond)}/s`,
    remainingMs === undefined ? '-' : spanText(remainingMs),
  ];
}

/** What the status page shows of images: the answer to the command `stats` in words. */
export function imageSections(stats: ImageStats): StatusSection[] {
  const { imageCount, totalStorageBytes, imageFilesystems, containerFilesystems } = stats;
  const rows = [
    ...imageFilesystems.map((one) => ({ ...one, holds: 'images' })),
    ...containerFilesystems.map((one) => ({ ...one, holds: 'containers' })),
  ];
  return [
    {
      title: 'Images',
      facts: [
        ['Images', String(imageCount)],
        ['Their sizes together', sizeText(totalStorageBytes)],
      ],
      tables: [
        {
          columns: [
            { title: 'FOLDER' },
            { title: 'HOLDS' },
            { title: 'USED', align: 'right' },
            { title: 'INODES', align: 'right' },
          ],
          rows: rows.map(({ mountpoint, holds, usedBytes, inodesUsed }) => [
            mountpoint,
            holds,
            usedBytes === undefined ? '-' : sizeText(usedBytes),
            inodesUsed === undefined ? '-' : String(inodesUsed),
          ]),
          empty: 'The runtime names no folder of images.',
        },
      ],
    },
  ];
}
