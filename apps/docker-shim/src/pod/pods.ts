import type { PodSandboxMetadata } from '@stowage/cri-proto';
import { NotFoundError } from '@stowage/errors';
import type { InspectedContainer } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { isNotFound } from '../engine/engine-errors';
import type { Checkpoints } from './checkpoints';
import { KnownFacts, type InspectedFacts } from './known-facts';
import { readLabels, type SandboxFacts } from './labels';
import type { ListedContainers } from './listed-containers';
import { podKey } from './pod-queue';
import { idsBeginning, theOnlyId } from './resolve-id';
import type { SandboxRecords } from './sandbox-records';

/** A pod's sandbox. */
export interface Sandbox extends SandboxFacts, InspectedFacts {
  readonly id: string;
  /** Whether its container runs. */
  readonly running: boolean;
  /** Whether containers can run in it: it runs, and has its network. */
  readonly ready: boolean;
  /** As the engine has it: `host`, `none` where CNI plugins make it, else a network of its own. */
  readonly networkMode: string;
}

/** A sandbox as it is listed. */
export interface ListedSandbox extends Sandbox {
  /** Whether RunPodSandbox has answered, so that callers may know of it. */
  readonly made: boolean;
}

/** A sandbox with all that the engine says of it. */
export interface InspectedSandbox extends Sandbox {
  /** Of its process; undefined when it does not run. */
  readonly pid: number | undefined;
  readonly container: InspectedContainer;
}

interface Call {
  readonly signal: AbortSignal;
}

/** The pods of this node, as their sandboxes show them. */
export class Pods {
  readonly #facts = new KnownFacts();
  /** By key of the pod. */
  readonly #making = new Map<string, Promise<unknown>>();

  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly checkpoints: Pick<Checkpoints, 'ids'>,
    private readonly records: Pick<SandboxRecords, 'get'>,
    private readonly listed: Pick<ListedContainers, 'list'>,
  ) {}

  /** Makes a sandbox; while that goes on, lists say so. */
  async make<T>(metadata: PodSandboxMetadata, work: () => Promise<T>): Promise<T> {
    const key = podKey(metadata);
    const making = work();
    this.#making.set(key, making);
    try {
      return await making;
    } finally {
      if (this.#making.get(key) === making) this.#making.delete(key);
    }
  }

  /** Resolves when a sandbox is not being made any more; never rejects. Undefined if it is not. */
  made(metadata: PodSandboxMetadata): Promise<unknown> | undefined {
    return this.#making.get(podKey(metadata))?.catch(() => undefined);
  }

  /** All sandboxes: at most one call to the engine, and one more for each that is new. */
  async list({ signal }: Call): Promise<ListedSandbox[]> {
    const { client } = this.connection.engine();
    // What the engine lists of these may be older than their end.
    const makingBefore = new Set(this.#making.keys());
    const listed = await this.listed.list(client, 'sandbox', { signal });
    const ids = listed.map(({ id }) => id);
    const known = await this.#facts.of(client, listed, { signal });
    this.#facts.retain(ids);
    return listed.flatMap(({ id, facts, listed: { State, HostConfig } }) => {
      const inspected = known.get(id);
      if (facts.type !== 'sandbox' || inspected === undefined) return [];
      const key = podKey(facts.metadata);
      const made = !makingBefore.has(key) && !this.#making.has(key);
      const { NetworkMode: networkMode = '' } = HostConfig ?? {};
      const running = State === 'running';
      return { ...this.#sandbox(id, facts, running), ...inspected, networkMode, made };
    });
  }

  /**
   * The id of the sandbox that a caller means; undefined for none. A complete id may be that of a
   * sandbox which is not there.
   *
   * @param given an id, or its beginning.
   * @throws {InvalidArgumentError} when several ids begin so.
   */
  async resolve(given: string, { signal }: Call): Promise<string | undefined> {
    const { client } = this.connection.engine();
    const ids = await idsBeginning(client, 'podsandbox', given, { signal });
    if (ids[0] !== given && /^[0-9a-f]+$/.test(given)) {
      ids.push(...(await this.checkpoints.ids()).filter((id) => id.startsWith(given)));
    }
    return theOnlyId('pod_sandbox_id', given, ids);
  }

  /**
   * The sandbox that a caller means.
   *
   * @param given an id, or its beginning.
   * @throws {NotFoundError} @throws {InvalidArgumentError} when several ids begin so.
   */
  async get(given: string, call: Call): Promise<InspectedSandbox> {
    const id = await this.resolve(given, call);
    const sandbox = id === undefined ? undefined : await this.find(id, call);
    if (sandbox === undefined) throw new NotFoundError('pod sandbox', given);
    return sandbox;
  }

  /**
   * @param id in full.
   * @returns undefined where the engine has no sandbox with this id.
   */
  async find(id: string, { signal }: Call): Promise<InspectedSandbox | undefined> {
    let container: InspectedContainer;
    try {
      container = await this.connection.engine().client.inspectContainer(id, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
    const facts = readLabels(container.Config?.Labels ?? {}, container.Name ?? '');
    if (facts?.type !== 'sandbox') return undefined;
    const { Status, Pid = 0 } = container.State ?? {};
    return {
      ...this.#sandbox(id, facts, Status === 'running'),
      ...this.#facts.remember(id, container),
      networkMode: container.HostConfig?.NetworkMode ?? '',
      pid: Pid > 0 ? Pid : undefined,
      container,
    };
  }

  #sandbox(
    id: string,
    { metadata, labels, annotations, runtimeHandler }: SandboxFacts,
    running: boolean,
  ) {
    const phase = this.records.get(id)?.phase ?? 'ready';
    const ready = running && phase === 'ready';
    return { id, metadata, labels, annotations, runtimeHandler, running, ready };
  }
}
