import { Counter, Gauge, type Registry } from 'prom-client';

/** Metrics of the records file. */
export class RecordMetrics {
  private readonly writeErrors;
  private readonly filesSetAside;
  private readonly written;

  constructor(registry: Registry) {
    const registers = [registry];
    this.writeErrors = new Counter({
      name: 'stowage_gc_record_write_errors_total',
      help: 'Writes of the image records that failed. Writes skipped while the file cannot be written are not counted.',
      registers,
    });
    this.filesSetAside = new Counter({
      name: 'stowage_gc_records_set_aside_total',
      help: 'Record files that could not be used (damaged, foreign), were renamed and recreated.',
      registers,
    });
    this.written = new Gauge({
      name: 'stowage_gc_records_written',
      help: '1 while the image records are on disk and would survive a restart, else 0.',
      registers,
    });
  }

  writeFailed(): void {
    this.writeErrors.inc();
  }

  wasSetAside(): void {
    this.filesSetAside.inc();
  }

  isWritten(isWritten: boolean): void {
    this.written.set(isWritten ? 1 : 0);
  }
}
