import { errorMessage } from '@stowage/errors';
import type { EventName } from '@stowage/events';
import { makeStateFolder } from '@stowage/sqlite';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BusLog, PublishedEvent } from './types';

/** An event of a process that has no outbox any more. */
export interface LeftEvent {
  /** ULID, the event's own for good. */
  readonly id: string;
  readonly name: EventName;
  readonly event: PublishedEvent<EventName>;
}

const folderName = 'handed-over';

/** Events that wait in memory at most while the folder takes no writes. */
const maxInMemory = 2000;

/** Files that are taken in at once at most. */
const maxAtOnce = 1000;

/**
 * The folder through which a process that has handed its outbox over publishes what it still has to: a file for each event, named by
 * its id, in the order of their making. The process that has the outbox takes them in.
 */
export class HandOverFolder {
  readonly #folder: string;
  #unwritten: LeftEvent[] = [];

  constructor(
    stateDir: string,
    private readonly log: BusLog,
  ) {
    this.#folder = path.join(stateDir, folderName);
  }

  /** Never throws: while the disk refuses, events wait in memory, in order, for the next call. */
  leave(event?: LeftEvent): void {
    if (event !== undefined) this.#unwritten.push(event);
    try {
      while (this.#unwritten[0] !== undefined) {
        this.#write(this.#unwritten[0]);
        this.#unwritten.shift();
      }
    } catch (error) {
      const lost = this.#unwritten.splice(0, this.#unwritten.length - maxInMemory);
      this.log.error(
        { folder: this.#folder, reason: errorMessage(error), lost: lost.length },
        'an event cannot be handed to the process that has taken over: it waits in memory',
      );
    }
  }

  /** Events that {@link leave} could not write. */
  get waiting(): number {
    return this.#unwritten.length;
  }

  /** Hands each event that was left to `publish` and forgets it. One that cannot be read or published is logged and forgotten. */
  takeIn(publish: (event: LeftEvent) => void): void {
    for (const name of this.#names().slice(0, maxAtOnce)) {
      const file = path.join(this.#folder, name);
      try {
        publish(JSON.parse(readFileSync(file, 'utf8'), revived) as LeftEvent);
      } catch (error) {
        this.log.error(
          { file, reason: errorMessage(error) },
          'an event of a replaced process is lost',
        );
      }
      try {
        rmSync(file, { force: true });
      } catch (error) {
        this.log.warn({ file, reason: errorMessage(error) }, 'an event that was published stays');
        return;
      }
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder)
        .filter((name) => name.endsWith('.json'))
        .sort();
    } catch {
      return [];
    }
  }

  #write(event: LeftEvent): void {
    makeStateFolder(this.#folder);
    const file = path.join(this.#folder, `${event.id}.json`);
    writeFileSync(`${file}.tmp`, JSON.stringify(event), { mode: 0o600 });
    renameSync(`${file}.tmp`, file);
  }
}

const revived = (key: string, value: unknown): unknown =>
  key === 'time' && typeof value === 'string' ? new Date(value) : value;
