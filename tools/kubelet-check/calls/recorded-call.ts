/**
 * A call of kubelet to the runtime, and what came of it. Ids are those of the recording; what
 * differs from run to run is a placeholder.
 */
export interface RecordedCall {
  readonly method: string;
  readonly request: unknown;
  /** Name of the status; `OK` for success. */
  readonly status: string;
  /** As {@link resultOf} says it, or the message of a failure. */
  readonly result: string;
  /** Of the sandbox or container that it has made. */
  readonly madeId?: string;
}

/** Calls of kubelet for the pods of a scenario, in the order in which they were begun. */
export interface Recording {
  readonly kubelet: string;
  readonly containerd: string;
  readonly calls: readonly RecordedCall[];
}

/** Text in a recording for what is another on every run. */
export const placeholders = {
  registry: 'REGISTRY',
  dir: 'DIR',
} as const;

/** JSON with the kinds of values that messages of CRI have besides: 64-bit numbers and bytes. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return `${part}n`;
    if (part instanceof Uint8Array) return `base64:${Buffer.from(part).toString('base64')}`;
    // Buffer has a toJSON of its own, which is called before this.
    if (isBufferJson(part)) return `base64:${Buffer.from(part.data).toString('base64')}`;
    return part;
  });

export const fromJson = (text: string): unknown =>
  JSON.parse(text, (_key, part: unknown) => {
    if (typeof part !== 'string') return part;
    if (/^-?\d+n$/.test(part)) return BigInt(part.slice(0, -1));
    if (part.startsWith('base64:')) return Buffer.from(part.slice(7), 'base64');
    return part;
  });

const isBufferJson = (part: unknown): part is { data: number[] } =>
  typeof part === 'object' && part != null && 'type' in part && part.type === 'Buffer';

/** The id of what a call has made; undefined where it makes nothing. */
export function madeIdOf(method: string, response: unknown): string | undefined {
  const { podSandboxId, containerId } = response as { podSandboxId?: string; containerId?: string };
  if (method === 'runPodSandbox') return podSandboxId;
  return method === 'createContainer' ? containerId : undefined;
}

interface Statuses {
  readonly status?: {
    readonly state?: unknown;
    readonly exitCode?: number;
    readonly reason?: string;
    readonly mounts?: readonly { containerPath: string }[];
    readonly imageRef?: string;
  };
  readonly image?: { readonly repoTags: readonly string[]; readonly id: string };
  readonly exitCode?: number;
  readonly stdout?: string;
  readonly imageRef?: string;
}

/** What of a response is the same in every run, ids apart: state, exit code, reason, output. */
export function resultOf(method: string, response: unknown): string {
  const { status, image, exitCode, stdout, imageRef } = response as Statuses;
  switch (method) {
    case 'containerStatus':
      return JSON.stringify([
        ...[status?.state, status?.exitCode, status?.reason, status?.imageRef],
        status?.mounts?.map(({ containerPath }) => containerPath),
      ]);
    case 'podSandboxStatus':
      return JSON.stringify(status?.state);
    case 'imageStatus':
      return image == null ? 'is not there' : image.id;
    case 'execSync':
      return JSON.stringify([exitCode, stdout]);
    case 'pullImage':
      return imageRef ?? '';
    default:
      return '';
  }
}
