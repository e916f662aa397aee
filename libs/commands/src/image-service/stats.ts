import * as z from 'zod';
import { defineCommand } from '../define-command';
import { bytes, count, noInput, text } from '../fields';

const filesystem = z.object({
  mountpoint: text('Where it is mounted.'),
  usedBytes: bytes(
    'Bytes used; absent where the runtime counts its notes instead of images (CRI-O).',
  ).optional(),
  inodesUsed: count('Inodes used; absent as `usedBytes`.').optional(),
});

/** Totals of a node's images. */
export const stats = defineCommand({
  app: 'image-service',
  verb: 'stats',
  description: 'Returns the number and size of images and the file systems of the runtime.',
  answered: 'by-default',
  input: noInput,
  reply: z.object({
    imageCount: count('Images, one for each id.'),
    totalStorageBytes: bytes(
      'Sum of the sizes that the runtime reports, as kubelet’s ImageStats; shared layers count in each.',
    ),
    imageFilesystems: z
      .array(filesystem)
      .describe('What images take on disk, as the runtime measures it.'),
    containerFilesystems: z.array(filesystem).describe('The same for containers.'),
  }),
  example: {
    input: {},
    reply: {
      imageCount: 2,
      totalStorageBytes: 116300000,
      imageFilesystems: [
        {
          mountpoint: '/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs',
          usedBytes: 130023424,
          inodesUsed: 9120,
        },
      ],
      containerFilesystems: [],
    },
  },
});
