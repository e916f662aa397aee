import { openEventBus } from '@stowage/event-bus';
import { ImageRecordStore } from '../records/record-store';
import { FakeWorker, listed } from './fake-worker';

const quiet = () => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

/**
 * Records and outbox on disk as the app opens them, over a runtime with so many images; NATS is
 * away.
 */
export function detectingWorker(stateDir: string, imageCount: number) {
  const worker = new FakeWorker();
  worker.runtime.images = Array.from({ length: imageCount }, (_, at) => listed(`sha256:${at}`));
  const store = ImageRecordStore.open({
    stateDir,
    keep: 'on-disk',
    now: () => new Date(worker.clock),
    log,
  });
  const nats = { servers: ['nats://127.0.0.1:1'] };
  const bus = openEventBus({ stateDir, node: 'node-a', app: 'gc-worker', nats, log });
  store.reconcilePublished(bus.nextSequence());
  const detector = worker.detector(
    {},
    {
      store,
      publishAll: (name, events) => {
        bus.publishAll(name, events);
      },
      nextSequence: () => bus.nextSequence(),
      log,
    },
  );
  return {
    store,
    detect: () => detector.detect({ signal: new AbortController().signal }),
    close: async () => {
      store.close();
      await bus.close({ drainMs: 0 });
    },
  };
}
