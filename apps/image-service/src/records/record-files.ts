import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { PulledRecord, PulledWith } from './pulled-record';

/** The version that is written. */
const apiVersion = 'kubelet.config.k8s.io/v1beta1';

const readVersions = ['kubelet.config.k8s.io/v1alpha1', apiVersion] as const;

/** Kubelet's file name for an image (intents) or image ref (pulled records). */
export const recordFileName = (name: string): string =>
  `sha256-${createHash('sha256').update(name).digest('hex')}`;

const coordinates = { uid: z.string(), namespace: z.string(), name: z.string() };

const pulledWith = z.strictObject({
  kubernetesSecrets: z
    .array(z.strictObject({ ...coordinates, credentialHash: z.string() }))
    .nullish(),
  kubernetesServiceAccounts: z.array(z.strictObject(coordinates)).nullish(),
  nodePodsAccessible: z.boolean().optional(),
});

const intentFile = z.strictObject({
  kind: z.literal('ImagePullIntent'),
  apiVersion: z.enum(readVersions),
  image: z.string(),
});

const pulledFile = z.strictObject({
  kind: z.literal('ImagePulledRecord'),
  apiVersion: z.enum(readVersions),
  lastUpdatedTime: z.iso.datetime({ offset: true }),
  imageRef: z.string(),
  credentialMapping: z.record(z.string(), pulledWith).nullish(),
});

/** A file's content, and whether it is of an older version than the one that is written. */
export interface Decoded<T> {
  readonly value: T;
  readonly isOld: boolean;
}

/** Content of an intent's file. */
export function encodeIntent(image: string): string {
  return goJsonLine({ kind: 'ImagePullIntent', apiVersion, image });
}

/**
 * The image of an intent's file. Throws when it is anything else; unknown fields are an error, as
 * in kubelet.
 */
export function decodeIntent(text: string): Decoded<string> {
  const file = intentFile.parse(JSON.parse(text));
  return { value: file.image, isOld: file.apiVersion !== apiVersion };
}

/** Content of a pulled record's file. Empty fields are left out. */
export function encodePulledRecord(record: PulledRecord): string {
  const mapping = Object.entries(record.credentialMapping).sort(([a], [b]) => (a < b ? -1 : 1));
  return goJsonLine({
    kind: 'ImagePulledRecord',
    apiVersion,
    lastUpdatedTime: record.lastUpdatedTime.toISOString().replace(/\.\d+Z$/, 'Z'),
    imageRef: record.imageRef,
    credentialMapping:
      mapping.length === 0
        ? undefined
        : Object.fromEntries(mapping.map(([image, entry]) => [image, encodePulledWith(entry)])),
  });
}

function encodePulledWith({
  kubernetesSecrets,
  kubernetesServiceAccounts,
  nodePodsAccessible,
}: PulledWith) {
  const picked = <K extends string>(from: Readonly<Record<K, string>>, keys: readonly K[]) =>
    Object.fromEntries(keys.map((key) => [key, from[key]]));
  return {
    kubernetesSecrets: filled(
      kubernetesSecrets.map((one) => picked(one, ['uid', 'namespace', 'name', 'credentialHash'])),
    ),
    kubernetesServiceAccounts: filled(
      kubernetesServiceAccounts.map((one) => picked(one, ['uid', 'namespace', 'name'])),
    ),
    nodePodsAccessible: nodePodsAccessible || undefined,
  };
}

const filled = <T>(list: readonly T[]): readonly T[] | undefined =>
  list.length === 0 ? undefined : list;

/**
 * The record of a file. Throws when it is anything else; unknown fields are an error, as in
 * kubelet.
 */
export function decodePulledRecord(text: string): Decoded<PulledRecord> {
  const file = pulledFile.parse(JSON.parse(text));
  const mapping = Object.entries(file.credentialMapping ?? {}).map(
    ([image, entry]): [string, PulledWith] => [
      image,
      {
        nodePodsAccessible: entry.nodePodsAccessible ?? false,
        kubernetesSecrets: entry.kubernetesSecrets ?? [],
        kubernetesServiceAccounts: entry.kubernetesServiceAccounts ?? [],
      },
    ],
  );
  return {
    value: {
      lastUpdatedTime: new Date(file.lastUpdatedTime),
      imageRef: file.imageRef,
      credentialMapping: Object.fromEntries(mapping),
    },
    isOld: file.apiVersion !== apiVersion,
  };
}

/** One line of compact JSON with the characters escaped that Go escapes too. */
function goJsonLine(value: unknown): string {
  const json = JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${json}\n`;
}
