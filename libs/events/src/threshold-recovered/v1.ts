import * as z from 'zod';
import { defineEvent } from '../define-event';
import { filesystemUsage, milliseconds, thresholdMark, timestamp } from '../fields';

export const thresholdRecoveredV1 = defineEvent({
  name: 'ThresholdRecovered',
  version: 1,
  entity: 'disk',
  event: 'threshold-recovered',
  publishers: ['gc-worker'],
  description:
    'A file system of images or containers is below a threshold again that it had exceeded.',
  subjectHolds: 'the mount point of the file system',
  data: z.looseObject({
    filesystem: filesystemUsage,
    ...thresholdMark,
    exceededSince: timestamp('When the threshold was exceeded.'),
    exceededForMs: milliseconds('How long the threshold was exceeded.'),
  }),
  example: {
    subject: '/var/lib/containerd',
    data: {
      filesystem: {
        mountpoint: '/var/lib/containerd',
        capacityBytes: 629145600,
        availableBytes: 138412032,
        usedPercent: 78,
      },
      role: 'image',
      resource: 'bytes',
      mark: 'high',
      thresholdPercent: 85,
      exceededSince: '2026-11-20T22:12:00.000Z',
      exceededForMs: 4200,
    },
  },
});
