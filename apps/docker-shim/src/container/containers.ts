import type { ContainerState, PodSandboxMetadata } from '@stowage/cri-proto';
import { NotFoundError } from '@stowage/errors';
import type { InspectedContainer } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { isNotFound } from '../engine/engine-errors';
import { KnownFacts, type InspectedFacts } from '../pod/known-facts';
import { readLabels, type ContainerFacts } from '../pod/labels';
import type { ListedContainers } from '../pod/listed-containers';
import { idsBeginning, theOnlyId } from '../pod/resolve-id';
import { containerCourse, criState } from './container-state';
import { StartResults } from './start-results';

/** A container of a pod, its sandbox not among them. */
export interface AppContainer extends ContainerFacts, InspectedFacts {
  readonly type: 'container';
  readonly id: string;
  /** The engine's name of it, without the slash. */
  readonly name: string;
  readonly pod: PodSandboxMetadata;
  readonly state: ContainerState;
  readonly imageId: string;
}

/** A container with all that the engine says of it. */
export interface InspectedAppContainer extends AppContainer {
  /** Of its first process; undefined when it does not run. */
  readonly pid: number | undefined;
  readonly inspected: InspectedContainer;
}

/** Where a container is. */
export interface LocatedContainer {
  readonly id: string;
  readonly sandboxId: string;
}

interface Call {
  readonly signal: AbortSignal;
}

/** The containers in the pods of this node. */
export class Containers {
  readonly #facts = new KnownFacts();
  readonly #startResults = new StartResults();
  /** Sandboxes by container. They never change. */
  readonly #sandboxes = new Map<string, string>();

  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly listed: Pick<ListedContainers, 'list' | 'ended'>,
  ) {}

  /**
   * Containers in every state: at most one call to the engine, and one more for each that is new.
   *
   * @param of with a sandbox, those in it alone.
   */
  async list({ signal }: Call, of: { readonly sandboxId?: string } = {}): Promise<AppContainer[]> {
    const { client } = this.connection.engine();
    const { sandboxId } = of;
    const before = [...this.#sandboxes.keys()];
    const listed = await this.listed.list(client, 'container', { signal }, of);
    const ids = listed.map(({ id }) => id);
    const created = listed.flatMap(({ id, listed: { State } }) => (State === 'created' ? id : []));
    const [known, failed] = await Promise.all([
      this.#facts.of(client, listed, { signal }),
      this.#startResults.failed(client, created, { signal }),
    ]);
    if (sandboxId === undefined) this.#retain(before, ids);
    return listed.flatMap(({ id, name, facts, listed: one }): AppContainer[] => {
      const { State, ImageID, Image } = one;
      const inspected = known.get(id);
      // It has vanished meanwhile.
      if (facts.type !== 'container' || inspected === undefined) return [];
      this.#sandboxes.set(id, facts.sandboxId);
      return [
        {
          ...facts,
          ...inspected,
          id,
          name,
          state: criState(State ?? '', failed.has(id)),
          imageId: ImageID ?? '',
          image: facts.image === '' ? (Image ?? '') : facts.image,
        },
      ];
    });
  }

  /**
   * The id of the container that a caller means; undefined for none. A complete id may be that of a
   * container which is not there.
   *
   * @param given an id, or its beginning.
   * @throws {InvalidArgumentError} when several ids begin so.
   */
  async resolve(given: string, { signal }: Call): Promise<string | undefined> {
    const { client } = this.connection.engine();
    const ids = await idsBeginning(client, 'container', given, { signal });
    return theOnlyId('container_id', given, ids);
  }

  /**
   * The container that a caller means.
   *
   * @param given an id, or its beginning.
   * @throws {NotFoundError} @throws {InvalidArgumentError} when several ids begin so.
   */
  async get(given: string, call: Call): Promise<InspectedAppContainer> {
    const id = await this.resolve(given, call);
    const container = id === undefined ? undefined : await this.find(id, call);
    if (container === undefined) throw new NotFoundError('container', given);
    return container;
  }

  /**
   * @param id in full.
   * @returns undefined where the engine has no container of a pod with this id.
   */
  async find(id: string, { signal }: Call): Promise<InspectedAppContainer | undefined> {
    let inspected: InspectedContainer;
    try {
      inspected = await this.connection.engine().client.inspectContainer(id, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
    const name = (inspected.Name ?? '').replace(/^\//, '');
    const facts = readLabels(inspected.Config?.Labels ?? {}, name);
    if (facts?.type !== 'container') return undefined;
    this.#sandboxes.set(id, facts.sandboxId);
    const { Pid = 0 } = inspected.State ?? {};
    return {
      ...facts,
      ...this.#facts.remember(id, inspected),
      id,
      name,
      state: containerCourse(inspected).state,
      imageId: inspected.Image ?? '',
      image: facts.image === '' ? (inspected.Config?.Image ?? '') : facts.image,
      pid: Pid > 0 ? Pid : undefined,
      inspected,
    };
  }

  /**
   * In which sandbox the container is that a caller means; undefined where there is none. The
   * engine is asked only about containers that were not seen before.
   */
  async locate(given: string, call: Call): Promise<LocatedContainer | undefined> {
    const id = await this.resolve(given, call);
    if (id === undefined) return undefined;
    const sandboxId = this.#sandboxes.get(id) ?? (await this.find(id, call))?.sandboxId;
    return sandboxId === undefined ? undefined : { id, sandboxId };
  }

  /** A container was created by this process. */
  created({ id, sandboxId }: LocatedContainer): void {
    this.#sandboxes.set(id, sandboxId);
    this.#startResults.set(id, false);
  }

  /** A container could not be started. */
  startFailed(id: string): void {
    this.#startResults.set(id, true);
  }

  /** A container was stopped. */
  stopped(id: string): void {
    this.listed.ended(id);
  }

  /** A container is gone. */
  removed(id: string): void {
    this.#sandboxes.delete(id);
  }

  /** Forgets what a list without filters does not hold any more. */
  #retain(before: readonly string[], ids: readonly string[]): void {
    const there = new Set(ids);
    for (const id of before) {
      if (!there.has(id)) this.#sandboxes.delete(id);
    }
    this.#facts.retain(ids);
    this.#startResults.retain(there);
  }
}
