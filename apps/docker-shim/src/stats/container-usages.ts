import { KeyedQueue } from '@stowage/async';
import type { EngineClient } from '../engine/engine-client';
import { isNotFound } from '../engine/engine-errors';
import type { EngineConnection } from '../engine/engine-connection';
import { untilAborted } from '../until-aborted';
import { CgroupFinder, type CgroupDirs } from './cgroup-dirs';
import { engineUsage } from './engine-usage';
import type { InterfaceTraffic } from './kernel-text';
import { traffic } from './process-facts';
import { readUsage, type Clocks } from './read-cgroup';
import { isForbidden } from './read-text';
import type { StatsListener, StatsSubject } from './types';
import type { Usage } from './usage';

/** What a running container uses. */
export interface RunningUse {
  readonly usage: Usage;
  /** Absent where the numbers are the engine's. */
  readonly group?: CgroupDirs;
  /** From the engine's numbers, where these are in use. */
  readonly interfaces?: readonly InterfaceTraffic[];
}

/** `stopped`: it is not running any more; `gone`: the engine does not know it any more. */
export type ContainerUse = RunningUse | 'stopped' | 'gone';

/** How long the engine's own numbers are kept, milliseconds. */
const engineKeptMs = 10_000;
/** Questions for the engine's own numbers at once. */
const engineAtOnce = 8;
/**
 * How long what was read of files is not read again, milliseconds: callers ask for the lists of
 * containers and of pods one after the other.
 */
const readKeptMs = 250;
/** How long files that could not be read are not tried again, milliseconds. */
const unreadableMs = 300_000;
/** What was not asked for so long is forgotten, milliseconds. */
const keptMs = 600_000;

type Client = Pick<EngineClient, 'inspectContainer' | 'containerStats'>;

/** What is known of a container since its start. */
interface Known {
  readonly startedAtNs: bigint | undefined;
  usedAtMs: number;
  pid?: number;
  group?: CgroupDirs;
  read?: RunningUse;
  /** As the engine says it, milliseconds since the epoch. */
  startedAtMs?: number;
  unreadableUntilMs?: number;
  asked?: { readonly atMs: number; readonly answer: ReturnType<typeof engineUsage> };
  asking?: Promise<ReturnType<typeof engineUsage>>;
}

/**
 * What containers use, from files of the kernel. The engine is asked for the process of a container
 * where that is not known, and for numbers only where the files cannot be read: without root, or in
 * another namespace of processes.
 */
export class ContainerUsages {
  readonly #known = new Map<string, Known>();
  readonly #finder: CgroupFinder;
  readonly #lanes = new KeyedQueue();
  #nextLane = 0;

  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly procRoot: string,
    private readonly clocks: Clocks,
    private readonly listener: Pick<StatsListener, 'unreadable'>,
  ) {
    this.#finder = new CgroupFinder(procRoot);
  }

  /** What a container uses that was listed as running, as of a quarter of a second ago at most. */
  async read(subject: StatsSubject, signal: AbortSignal): Promise<ContainerUse> {
    signal.throwIfAborted();
    const known = this.#of(subject);
    if ((known.unreadableUntilMs ?? 0) > this.clocks.steady()) {
      return this.#ask(subject.id, known, signal);
    }
    try {
      // A group that is still there is that of the container: its path contains the id.
      const read = this.#readGroup(known);
      if (read !== undefined) return read;
      const found = await this.#find(subject, known, signal);
      if (found === 'stopped' || found === 'gone') return found;
      if (found === 'found') return this.#readGroup(known) ?? 'stopped';
    } catch (error) {
      if (!isForbidden(error)) throw error;
    }
    this.listener.unreadable();
    known.unreadableUntilMs = this.clocks.steady() + unreadableMs;
    return this.#ask(subject.id, known, signal);
  }

  /**
   * Traffic of the network namespace of a container that was read before; undefined when its
   * process is gone.
   */
  traffic({ id }: StatsSubject): readonly InterfaceTraffic[] | undefined {
    const known = this.#known.get(id);
    if (known?.pid === undefined) return undefined;
    const read = traffic(this.procRoot, known.pid);
    // Afterwards: a process that is of the container now was so all the time.
    if (this.#finder.holds(known.pid, id)) return read;
    // Started again under the same path: the next reading looks for the process.
    known.group = undefined;
    return undefined;
  }

  /** When a container that was read before was started, milliseconds since the epoch. */
  startedAtMs({ id, startedAtNs }: StatsSubject): number | undefined {
    // Seen when its process was looked for, which may be later than what the subject has.
    const seenMs = this.#known.get(id)?.startedAtMs;
    return seenMs ?? (startedAtNs === undefined ? undefined : Number(startedAtNs / 1_000_000n));
  }

  /** The first process of a container that was read before. */
  pid({ id }: StatsSubject): number | undefined {
    return this.#known.get(id)?.pid;
  }

  /** Drops what was not asked for lately. */
  forgetOld(): void {
    for (const [id, { usedAtMs }] of this.#known) {
      if (this.clocks.steady() - usedAtMs > keptMs) this.#known.delete(id);
    }
  }

  #of({ id, startedAtNs }: StatsSubject): Known {
    let known = this.#known.get(id);
    if (known === undefined || known.startedAtNs !== startedAtNs) {
      known = { startedAtNs, usedAtMs: 0 };
      this.#known.set(id, known);
    }
    known.usedAtMs = this.clocks.steady();
    return known;
  }

  #readGroup(known: Known): RunningUse | undefined {
    const { group, read } = known;
    if (group === undefined) return undefined;
    if (read?.group === group && this.clocks.steady() - read.usage.clockMs < readKeptMs)
      return read;
    const usage = readUsage(group, this.clocks);
    if (usage === undefined) {
      known.group = undefined;
      known.pid = undefined;
      known.read = undefined;
      return undefined;
    }
    known.read = { usage, group };
    return known.read;
  }

  /** Looks for the process and the control group of a container. */
  async #find(
    subject: StatsSubject,
    known: Known,
    signal: AbortSignal,
  ): Promise<'found' | 'stopped' | 'gone' | 'unreadable'> {
    const { client } = this.connection.engine();
    let tried = subject.pid ?? 0;
    if (tried !== 0 && this.#enter(tried, subject.id, known)) return 'found';
    for (;;) {
      const inspected = await this.#inspect(client, subject.id, signal);
      if (inspected === undefined) return 'gone';
      const { Running, Pid, StartedAt } = inspected.State ?? {};
      if (Running !== true || !Pid) return 'stopped';
      const startedAtMs = Date.parse(StartedAt ?? '');
      known.startedAtMs = Number.isNaN(startedAtMs) ? undefined : startedAtMs;
      if (this.#enter(Pid, subject.id, known)) return 'found';
      // It may have ended since; the same process twice is one that cannot be seen from here.
      if (Pid === tried) return 'unreadable';
      tried = Pid;
    }
  }

  #enter(pid: number, id: string, known: Known): boolean {
    const group = this.#finder.find(pid, id);
    if (group === undefined) return false;
    known.pid = pid;
    known.group = group;
    return true;
  }

  async #inspect(client: Client, id: string, signal: AbortSignal) {
    try {
      return await client.inspectContainer(id, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** The engine's own numbers, which several callers share. */
  async #ask(id: string, known: Known, signal: AbortSignal): Promise<ContainerUse> {
    const { client, info } = this.connection.engine();
    const isFresh = this.clocks.steady() - (known.asked?.atMs ?? -Infinity) < engineKeptMs;
    if (!isFresh) {
      known.asking ??= this.#lanes
        .run(String(this.#nextLane++ % engineAtOnce), async () => {
          const at = { atMs: this.clocks.now(), clockMs: this.clocks.steady() };
          const answer = engineUsage(await client.containerStats(id), at, info.MemTotal);
          known.asked = { atMs: at.clockMs, answer };
          return answer;
        })
        .finally(() => (known.asking = undefined));
      try {
        await untilAborted(known.asking, signal);
      } catch (error) {
        if (isNotFound(error)) return 'gone';
        throw error;
      }
    }
    // After another start the files are tried again.
    if (known.asked?.answer === undefined) {
      this.#known.delete(id);
      return 'stopped';
    }
    return known.asked.answer;
  }
}
