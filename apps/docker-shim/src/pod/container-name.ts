import { createHash, randomBytes } from 'node:crypto';

/** Whose container it is, as its name in the engine has it. */
export interface NameParts {
  /** Name of the container in its pod; absent for the sandbox itself. */
  readonly container?: string;
  readonly pod: string;
  readonly namespace: string;
  readonly podUid: string;
  readonly attempt: number;
}

/** Stands for the container's name in the name of a sandbox. */
const sandboxPart = 'POD';
const prefix = 'k8s';
/** What the engine takes in a name, without the underscore, which separates the parts. */
const notInName = /[^a-zA-Z0-9.-]/g;

/**
 * The name that kubelet's dockershim and cri-dockerd give a container:
 * `k8s_<container>_<pod>_<namespace>_<pod uid>_<attempt>`. Parts that hold characters which a name
 * cannot have get `-` for them, and a seventh part made of the true parts keeps the name unique.
 *
 * @param suffix a seventh part of one's own, for a name that is taken.
 */
export function containerName(parts: NameParts, suffix?: string): string {
  const given = [
    parts.container ?? sandboxPart,
    parts.pod,
    parts.namespace,
    parts.podUid,
    String(parts.attempt),
  ];
  const written = given.map((part) => part.replace(notInName, '-'));
  const changed = written.some((part, index) => part !== given[index]);
  const last = suffix ?? (changed ? digest(given) : undefined);
  return [prefix, ...written, ...(last === undefined ? [] : [last])].join('_');
}

/** A seventh part that no other container has. */
export const randomSuffix = (): string => randomBytes(4).toString('hex');

/**
 * The parts of a container's name in the engine, with or without its leading slash; undefined for
 * one that is not of this form.
 */
export function parseContainerName(name: string): NameParts | undefined {
  const [first, container, pod, namespace, podUid, attempt, ...rest] = name
    .replace(/^\//, '')
    .split('_');
  if (first !== prefix || rest.length > 1 || !/^\d{1,10}$/.test(attempt ?? '')) return undefined;
  if (container === undefined || pod === undefined) return undefined;
  if (namespace === undefined || podUid === undefined) return undefined;
  return {
    ...(container !== sandboxPart && { container }),
    pod,
    namespace,
    podUid,
    attempt: Number(attempt),
  };
}

const digest = (parts: readonly string[]): string =>
  createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 8);
