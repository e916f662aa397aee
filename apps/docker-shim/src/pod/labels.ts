import type { ContainerMetadata, PodSandboxMetadata } from '@stowage/cri-proto';
import { InvalidArgumentError } from '@stowage/errors';
import * as z from 'zod';
import { parseContainerName } from './container-name';

/** Whether the container is a pod's sandbox or one that runs in it; the peer's label. */
export const typeLabel = 'io.kubernetes.docker.type';
/** Id of the sandbox that a container is in; the peer's label. */
export const sandboxIdLabel = 'io.kubernetes.sandbox.id';
/** Where kubelet wants a container's log; the peer's label. */
export const logPathLabel = 'io.kubernetes.container.logpath';
const containerNameLabel = 'io.kubernetes.container.name';
const metaLabel = 'io.stowage.docker-shim.meta';
const annotationPrefix = 'annotation.';

/** Ids of the images that a container has as mounts, separated by commas. */
export const imageMountsLabel = 'io.stowage.docker-shim.image-mounts';

const internal: ReadonlySet<string> = new Set([
  typeLabel,
  sandboxIdLabel,
  logPathLabel,
  metaLabel,
  imageMountsLabel,
]);

/** How the log of a container reaches kubelet. */
export type LogMode = 'copy' | 'link';

/** What a sandbox is labelled with. */
export interface SandboxFacts {
  readonly metadata: PodSandboxMetadata;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** As it was asked for; empty for the default. */
  readonly runtimeHandler: string;
}

/** What a container in a sandbox is labelled with. */
export interface ContainerFacts {
  readonly metadata: ContainerMetadata;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly sandboxId: string;
  /** The image as the user named it. */
  readonly image: string;
  /** Path of the log; empty for none. */
  readonly logPath: string;
  readonly logMode: LogMode;
}

const metaOf = z.object({
  version: z.literal(1),
  pod: z.object({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    attempt: z.number(),
  }),
  runtimeHandler: z.string().optional(),
  container: z
    .object({
      name: z.string(),
      attempt: z.number(),
      image: z.string(),
      logMode: z.enum(['copy', 'link']),
    })
    .optional(),
});
type Meta = z.infer<typeof metaOf>;

/** @throws {InvalidArgumentError} for a label that the shim keeps for itself. */
export function sandboxLabels(facts: SandboxFacts): Record<string, string> {
  if (containerNameLabel in facts.labels) throw reserved(containerNameLabel, facts.labels);
  return {
    ...given(facts),
    [typeLabel]: 'podsandbox',
    [containerNameLabel]: 'POD',
    [metaLabel]: JSON.stringify({
      version: 1,
      pod: podOf(facts.metadata),
      runtimeHandler: facts.runtimeHandler,
    } satisfies Meta),
  };
}

/** @throws {InvalidArgumentError} for a label that the shim keeps for itself. */
export function containerLabels(
  facts: ContainerFacts,
  pod: PodSandboxMetadata,
): Record<string, string> {
  const { name, attempt } = facts.metadata;
  return {
    ...given(facts),
    [typeLabel]: 'container',
    [sandboxIdLabel]: facts.sandboxId,
    [logPathLabel]: facts.logPath,
    [metaLabel]: JSON.stringify({
      version: 1,
      pod: podOf(pod),
      container: { name, attempt, image: facts.image, logMode: facts.logMode },
    } satisfies Meta),
  };
}

/** One of the engine's containers, as its labels and name describe it. */
export type Labelled =
  | ({ readonly type: 'sandbox' } & SandboxFacts)
  | ({ readonly type: 'container'; readonly pod: PodSandboxMetadata } & ContainerFacts);

/**
 * What the labels and the name of one of the engine's containers say; undefined for one that is not
 * a pod's. Containers of cri-dockerd have no label of this shim, so their name is taken apart, and
 * their logs stay links.
 */
export function readLabels(
  labels: Readonly<Record<string, string>>,
  name: string,
): Labelled | undefined {
  const type = labels[typeLabel];
  if (type !== 'podsandbox' && type !== 'container') return undefined;
  const meta = readMeta(labels[metaLabel]) ?? metaOfName(name);
  if (meta === undefined) return undefined;
  const { labels: own, annotations } = split(labels);
  if (type === 'podsandbox') {
    return {
      type: 'sandbox',
      metadata: meta.pod,
      labels: omit(own, containerNameLabel),
      annotations,
      runtimeHandler: meta.runtimeHandler ?? '',
    };
  }
  const { container } = meta;
  if (container === undefined) return undefined;
  return {
    type: 'container',
    pod: meta.pod,
    metadata: { name: container.name, attempt: container.attempt },
    labels: own,
    annotations,
    sandboxId: labels[sandboxIdLabel] ?? '',
    image: container.image,
    logPath: labels[logPathLabel] ?? '',
    logMode: container.logMode,
  };
}

const podOf = ({ name, namespace, uid, attempt }: PodSandboxMetadata): Meta['pod'] => ({
  name,
  namespace,
  uid,
  attempt,
});

function given({ labels, annotations }: Pick<SandboxFacts, 'labels' | 'annotations'>) {
  const result: Record<string, string> = {};
  for (const [key, value] of Object.entries(labels)) {
    if (internal.has(key) || key.startsWith(annotationPrefix)) throw reserved(key, labels);
    result[key] = value;
  }
  for (const [key, value] of Object.entries(annotations)) result[annotationPrefix + key] = value;
  return result;
}

const reserved = (key: string, labels: Readonly<Record<string, string>>): InvalidArgumentError =>
  new InvalidArgumentError(
    `label ${key}`,
    labels[key],
    'labels that the shim does not keep for itself',
  );

function split(all: Readonly<Record<string, string>>) {
  const labels: Record<string, string> = {};
  const annotations: Record<string, string> = {};
  for (const [key, value] of Object.entries(all)) {
    if (internal.has(key)) continue;
    if (key.startsWith(annotationPrefix)) annotations[key.slice(annotationPrefix.length)] = value;
    else labels[key] = value;
  }
  return { labels, annotations };
}

function omit(labels: Readonly<Record<string, string>>, key: string): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => name !== key));
}

function readMeta(text: string | undefined): Meta | undefined {
  if (text === undefined) return undefined;
  try {
    return metaOf.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function metaOfName(name: string): Meta | undefined {
  const parts = parseContainerName(name);
  if (parts === undefined) return undefined;
  const { pod, namespace, podUid, attempt, container } = parts;
  const isSandbox = container === undefined;
  return {
    version: 1,
    // The attempt in a container's name is its own; its sandbox's is not known.
    pod: { name: pod, namespace, uid: podUid, attempt: isSandbox ? attempt : 0 },
    ...(!isSandbox && { container: { name: container, attempt, image: '', logMode: 'link' } }),
  };
}

/** Whether labels are those that a selector of the CRI asks for; all must match. */
export const matchesLabels = (
  labels: Readonly<Record<string, string>>,
  selector: Readonly<Record<string, string>> = {},
): boolean => Object.entries(selector).every(([key, value]) => labels[key] === value);
