import type { EngineClient, EngineEvent, ListedContainer } from '../engine/engine-client';
import { untilAborted } from '../until-aborted';
import { readLabels, sandboxIdLabel, typeLabel, type Labelled } from './labels';

/** A sandbox, or a container in one, as the engine lists it. */
export interface ListedThing {
  readonly id: string;
  /** The engine's name of it, without the slash. */
  readonly name: string;
  /** What its labels and its name say. */
  readonly facts: Labelled;
  readonly listed: ListedContainer;
}

type Client = Pick<EngineClient, 'listContainers'>;

interface Call {
  readonly signal: AbortSignal;
}

/** Calls of the engine after which its list may be another, whether they succeed or not. */
const changingCalls: ReadonlySet<string> = new Set([
  'create container',
  'start container',
  'stop container',
  'kill container',
  'remove container',
]);

/** Longest time that an engine lists a container as running after its end, milliseconds. */
const endedMs = 30_000;
/** What a running container is listed as; in all other states it does not run. */
const runningStates: ReadonlySet<string> = new Set(['running', 'paused', 'restarting']);

/**
 * The engine's list of sandboxes and their containers. An answer is kept, and no other asked for,
 * while the events of the engine come and none has come since, and no call was made that changes
 * containers: then the engine would answer the same. Nobody is given what an event or a call that
 * has ended before contradicts.
 */
export class ListedContainers {
  /** The engine whose events come. */
  #followed: Client | undefined;
  /** Raised by whatever may change the list: an answer is good while it is what it was. */
  #changes = 0;
  #kept: readonly ListedThing[] | undefined;
  #asking:
    { readonly changes: number; readonly answer: Promise<readonly ListedThing[]> } | undefined;
  /** Until when a container that has ended does not count as running, on the steady clock. */
  readonly #ended = new Map<string, number>();

  constructor(private readonly steady: () => number = () => performance.now()) {}

  /** From now on every event of this engine is handed to {@link changed}. */
  follow(client: Client): void {
    this.#followed = client;
    this.#change();
  }

  /** Events come no more. */
  unfollow(): void {
    this.#followed = undefined;
    this.#ended.clear();
    this.#change();
  }

  /** An event came. */
  changed({ Action, Actor }: EngineEvent): void {
    const id = Actor?.ID ?? '';
    if (Action === 'die') this.ended(id);
    if (Action === 'start' || Action === 'destroy') this.#ended.delete(id);
    this.#change();
  }

  /** The engine has said that a container does not run any more. */
  ended(id: string): void {
    if (this.#followed !== undefined) this.#ended.set(id, this.steady() + endedMs);
    this.#change();
  }

  /** A call of the engine has ended. */
  called({ operation }: { readonly operation: string }): void {
    if (changingCalls.has(operation)) this.#change();
  }

  /**
   * Sandboxes, or containers in sandboxes; without a call of the engine where that would not show
   * anything else.
   *
   * @param of with a sandbox, the containers in it alone.
   */
  async list(
    client: Client,
    type: Labelled['type'],
    { signal }: Call,
    of: { readonly sandboxId?: string } = {},
  ): Promise<readonly ListedThing[]> {
    const { sandboxId } = of;
    const isAll = sandboxId === undefined;
    if (this.#kept !== undefined && this.#followed === client) {
      return this.#kept.filter(
        ({ facts }) =>
          facts.type === type &&
          (isAll || (facts.type === 'container' && facts.sandboxId === sandboxId)),
      );
    }
    if (isAll && this.#followed === client) {
      const all = await untilAborted(this.#shared(client), signal);
      return all.filter(({ facts }) => facts.type === type);
    }
    const engineType = type === 'sandbox' ? 'podsandbox' : type;
    const inSandbox = isAll ? [] : [`${sandboxIdLabel}=${sandboxId}`];
    const label = [`${typeLabel}=${engineType}`, ...inSandbox];
    return this.#things(await client.listContainers({ label }, { signal })).things;
  }

  /** Asks the engine in any case, for all. */
  async ask(client: Client, { signal }: Call): Promise<readonly ListedThing[]> {
    const changes = this.#changes;
    const listed = await client.listContainers({ label: [typeLabel] }, { signal });
    const { things, isBehind } = this.#things(listed);
    if (changes === this.#changes && this.#followed === client && !isBehind) {
      this.#kept = things;
      this.#ended.clear();
    }
    return things;
  }

  /** An answer that several callers wait for, since nothing has changed since it was asked for. */
  #shared(client: Client): Promise<readonly ListedThing[]> {
    if (this.#asking?.changes === this.#changes) return this.#asking.answer;
    // Not given up with a caller, for the others; it has the limit of every call.
    const { signal } = new AbortController();
    const answer = this.ask(client, { signal }).finally(() => {
      if (this.#asking?.answer === answer) this.#asking = undefined;
    });
    this.#asking = { changes: this.#changes, answer };
    return answer;
  }

  /**
   * The sandboxes and containers of an answer. It is behind when one runs in it that has ended:
   * engines report an end before their list shows it. Nobody is given that.
   */
  #things(listed: readonly ListedContainer[]): {
    readonly things: readonly ListedThing[];
    readonly isBehind: boolean;
  } {
    const now = this.steady();
    let isBehind = false;
    const things = listed.flatMap((one): ListedThing[] => {
      const { Id: id, Names, Labels, State } = one;
      const name = (Names?.[0] ?? '').replace(/^\//, '');
      const facts = readLabels(Labels ?? {}, name);
      // Without those that are not of a pod.
      if (id == null || facts === undefined) return [];
      const hasEnded = (this.#ended.get(id) ?? 0) > now && runningStates.has(State ?? '');
      isBehind ||= hasEnded;
      return [{ id, name, facts, listed: hasEnded ? { ...one, State: 'exited' } : one }];
    });
    return { things, isBehind };
  }

  #change(): void {
    this.#changes += 1;
    this.#kept = undefined;
  }
}
