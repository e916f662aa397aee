import { errorMessage } from '@stowage/errors';
import type { EventName } from '@stowage/events';
import { makeStateFolder } from '@stowage/sqlite';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BusLog, PublishedEvent } from './types';

/** An event of a process that has given up its outbox. */
export interface LeftEvent {
  /** ULID, the permanent id of the event. */
  readonly id: string;
  readonly name: EventName;
  readonly event: PublishedEvent<EventName>;
}

const folderName = 'handed-over';

/** Largest number of events that wait in memory while the folder cannot be written. */
const maxInMemory = 2000;

/** Largest number of files that are processed at once. */
const maxAtOnce = 1000;

/**
 * The folder through which a process that has handed over its outbox publishes its remaining
 * events: a file for each event, named by its id, in order of creation. The process that has the
 * outbox picks them up.
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

  /**
   * Never throws: while the disk refuses writes, events wait in memory, in order, for the next
   * call.
   */
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

  /**
   * Passes each event in the folder to `publish` and deletes it. One that cannot be read or
   * published is logged and deleted.
   */
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
