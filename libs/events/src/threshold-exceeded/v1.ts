import * as z from 'zod';
import { defineEvent } from '../define-event';
import {
  bytes,
  count,
  filesystemBreakdown,
  filesystemUsage,
  milliseconds,
  openWord,
  percent,
  signedBytes,
  thresholdMark,
} from '../fields';

export const thresholdExceededV1 = defineEvent({
  name: 'ThresholdExceeded',
  version: 1,
  entity: 'disk',
  event: 'threshold-exceeded',
  publishers: ['gc-worker'],
  description:
    'A file system of images or containers crossed a threshold upwards. Published once per crossing; ThresholdRecovered ends it.',
  subjectHolds: 'the mount point of the file system',
  data: z.looseObject({
    filesystem: filesystemUsage,
    ...thresholdMark,
    lowThresholdPercent: percent('Percent used down to which a collection frees space.').optional(),
    bytesToFree: bytes(
      'Bytes a collection would be asked to free: trunc(capacity × (100 − low) ÷ 100) − available, not below 0. On a container file system, where no collection starts, the bytes that must be freed otherwise.',
    ),
    inodesToFree: count(
      'Inodes to free until the low threshold for inodes, not below 0; where inodes run short.',
    ).optional(),
    cause: openWord(
      ['used', 'time-to-full'],
      'Why it was crossed: current usage, or the forecast that the file system will be full soon.',
    ).optional(),
    trend: z
      .looseObject({
        bytesPerSecond: signedBytes(
          'Change of the used bytes per second over the window; negative when usage falls.',
        ),
        windowMs: milliseconds('Length of the window that was looked at.'),
        timeToFullMs: milliseconds(
          'Time until no bytes are available at this rate; absent when usage does not grow.',
        ).optional(),
      })
      .describe('Trend of the usage; absent until enough samples exist.')
      .optional(),
    inodesTrend: z
      .looseObject({
        inodesPerSecond: z.int().describe('Change of the used inodes per second over the window.'),
        windowMs: milliseconds('Length of the window that was looked at.'),
        timeToFullMs: milliseconds(
          'Time until no inodes are free at this rate; absent when usage does not grow.',
        ).optional(),
      })
      .describe('Trend of the inodes, where inodes run short; absent until enough samples exist.')
      .optional(),
    breakdown: filesystemBreakdown.optional(),
  }),
  example: {
    subject: '/var/lib/containerd',
    data: {
      filesystem: {
        mountpoint: '/var/lib/containerd',
        capacityBytes: 629145600,
        availableBytes: 75497472,
        usedPercent: 88,
        inodesCapacity: 153600,
        inodesAvailable: 141312,
        inodesUsedPercent: 8,
      },
      role: 'image',
      resource: 'bytes',
      mark: 'high',
      thresholdPercent: 85,
      lowThresholdPercent: 80,
      bytesToFree: 50331648,
      trend: { bytesPerSecond: 1048576, windowMs: 60000, timeToFullMs: 72000 },
      breakdown: {
        usedBytes: 553648128,
        imageBytes: 398458880,
        containerBytes: 12582912,
        otherBytes: 142606336,
        imagesSuffice: true,
      },
    },
  },
});
