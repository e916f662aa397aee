import type { PulledRecord } from '../records/pulled-record';
import type { Listed, RecordCounts, RecordStore } from '../records/record-store';

/** Pull records in memory. */
export class MemoryRecordStore implements RecordStore {
  readonly #intents = new Set<string>();
  readonly #pulled = new Map<string, PulledRecord>();

  writeIntent(image: string): void {
    this.#intents.add(image);
  }

  hasIntent(image: string): boolean {
    return this.#intents.has(image);
  }

  deleteIntent(image: string): void {
    this.#intents.delete(image);
  }

  intents(): Listed<string> {
    return { items: [...this.#intents], errors: [] };
  }

  pulledRecord(imageRef: string): PulledRecord | undefined {
    return this.#pulled.get(imageRef);
  }

  writePulledRecord(record: PulledRecord): void {
    this.#pulled.set(record.imageRef, record);
  }

  deletePulledRecord(imageRef: string): void {
    this.#pulled.delete(imageRef);
  }

  pulledRecords(): Listed<PulledRecord> {
    return { items: [...this.#pulled.values()], errors: [] };
  }

  counts(): RecordCounts {
    return { intents: this.#intents.size, pulledRecords: this.#pulled.size };
  }
}
