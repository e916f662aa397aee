import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ClientError, createChannel, createClient, Status } from 'nice-grpc';
import { ImageServiceDefinition, RuntimeServiceDefinition } from '@stowage/cri-proto';
import { eventually } from '@stowage/testing';
import {
  fromJson,
  madeIdOf,
  placeholders,
  resultOf,
  toJson,
  type RecordedCall,
} from './recorded-call';

/** Where a recording is played. */
export interface Place {
  readonly runtime: string;
  readonly image: string;
  /** What the placeholders stand for here. */
  readonly registry: string;
  /** A folder of its own: volumes and logs of pods lie in it. */
  readonly dir: string;
  /**
   * Digests of images that are named by them: as they were in the recording, and as they are here.
   */
  readonly digests: ReadonlyMap<string, string>;
}

/** What a call came to. `what` names call and object; the same in every run. */
export interface Outcome {
  readonly what: string;
  readonly status: string;
  /**
   * Of the response, what does not depend on the run: state, exit code, reason, output. Of a
   * failure its message.
   */
  readonly result: string;
}

type Client = Record<string, (request: unknown) => Promise<unknown>>;

/**
 * Plays what a kubelet has called, one call after the other as they were begun, with the ids that
 * the runtime gives here in the place of those of the recording. A call about a state is repeated
 * until that has come, as kubelet does. Whether it has already passed depends on the time that
 * calls take, so of a state that can pass the outcome says that it has come, and what stays the
 * same after it.
 */
export async function playCalls(calls: readonly RecordedCall[], place: Place): Promise<Outcome[]> {
  const channels = [place.runtime, place.image].map((endpoint) =>
    createChannel(endpoint, undefined, {
      'grpc.default_authority': 'localhost',
      'grpc.use_local_subchannel_pool': 1,
    }),
  );
  const [runtime, image] = channels as [(typeof channels)[0], (typeof channels)[0]];
  const clients = [
    createClient(RuntimeServiceDefinition, runtime),
    createClient(ImageServiceDefinition, image),
  ] as unknown as [Client, Client];
  const ids = new Map(place.digests);
  const text = (recorded: string): string =>
    [...ids]
      .reduce((all, [then, now]) => all.replaceAll(then, now), recorded)
      .replaceAll(placeholders.registry, place.registry)
      .replaceAll(placeholders.dir, place.dir);
  const outcomes: Outcome[] = [];
  try {
    for (const [number, call] of calls.entries()) {
      const request = prepared(fromJson(text(JSON.stringify(call.request))));
      const method = clients.map((client) => client[call.method]).find((one) => one !== undefined);
      if (method === undefined) throw new Error(`CRI has no ${call.method}`);
      const ask = async (): Promise<Outcome> => {
        const what = `${number + 1} ${call.method}`;
        try {
          const response = await method(request);
          const made = madeIdOf(call.method, response);
          if (call.madeId !== undefined && made !== undefined) ids.set(call.madeId, made);
          const plain: unknown = JSON.parse(toJson(response));
          return { what, status: 'OK', result: resultOf(call.method, plain) };
        } catch (error) {
          if (!(error instanceof ClientError)) throw error;
          return { what, status: Status[error.code], result: error.details };
        }
      };
      const isThere = (now: Outcome): boolean => stateOf(now.result) >= stateOf(call.result);
      let outcome = await ask();
      // The id of an image, which later calls name it by; it depends on the busybox that the image
      // was made of.
      const isPulled = outcome.status === 'OK' && call.status === 'OK';
      if (call.method === 'pullImage' && isPulled) ids.set(call.result, outcome.result);
      // Only what asks for a state may be asked again: the rest makes something each time.
      if (call.status === 'OK' && /^(container|podSandbox)Status$/.test(call.method)) {
        await eventually(async () => isThere(outcome) || isThere((outcome = await ask())), {
          timeoutMs: 15_000,
          intervalMs: 100,
        }).catch(() => undefined);
        if (isThere(outcome) && !isFinal(call)) {
          outcome = { ...outcome, result: withoutState(outcome.result) };
        }
      }
      outcomes.push(hidden(outcome, ids, place));
    }
    return outcomes;
  } finally {
    for (const channel of channels) channel.close();
  }
}

interface Message {
  readonly config?: {
    readonly logDirectory?: string;
    readonly linux?: Record<string, unknown>;
    readonly mounts?: readonly { readonly hostPath: string }[];
  };
  readonly sandboxConfig?: Message['config'];
}

/**
 * Makes what kubelet makes before a call: folders of logs, and what is mounted. Control groups are
 * the runtime's own here.
 */
function prepared(request: unknown): unknown {
  const { config, sandboxConfig } = request as Message;
  for (const one of [config, sandboxConfig]) {
    if (one?.logDirectory) mkdirSync(one.logDirectory, { recursive: true });
    if (one?.linux !== undefined && 'cgroupParent' in one.linux) one.linux.cgroupParent = '';
    for (const { hostPath } of one?.mounts ?? []) {
      mkdirSync(path.dirname(hostPath), { recursive: true });
      // The hosts file of the pod, and a file for the message of each container; volumes are
      // folders.
      const isFile = /\/etc-hosts$|\/containers\/[^/]+\/[^/]+$/.test(hostPath);
      if (isFile) writeFileSync(hostPath, '', { flag: 'a' });
      else mkdirSync(hostPath, { recursive: true });
    }
  }
  if (sandboxConfig?.logDirectory && config !== undefined && 'logPath' in config) {
    const file = path.join(sandboxConfig.logDirectory, String(config.logPath));
    mkdirSync(path.dirname(file), { recursive: true });
  }
  return request;
}

/** Number of a state in a status; states of containers and sandboxes only ever rise. */
const stateOf = (result: string): number => Number(/\d/.exec(result)?.[0] ?? -1);

/** Image and mounts of a container in place of all; a sandbox has nothing but its state. */
const withoutState = (result: string): string => {
  const status = [JSON.parse(result) as unknown].flat();
  return JSON.stringify(['has come', ...status.slice(3)]);
};

/** Of a container that has exited, and of a sandbox that is not ready. */
const isFinal = ({ method, result }: RecordedCall): boolean =>
  stateOf(result) === (method === 'containerStatus' ? 2 : 1);

/** Without ids and addresses of this run. */
function hidden(outcome: Outcome, ids: ReadonlyMap<string, string>, place: Place): Outcome {
  const result = [...ids]
    .reduce((all, [then, now]) => all.replaceAll(now, then), outcome.result)
    .replaceAll(place.registry, placeholders.registry)
    .replaceAll(place.dir, placeholders.dir);
  return { ...outcome, result };
}
