// A publishing process that a test kills: `publisher-process.ts STATE_DIR NATS_URL COUNT`. Says
// `written ID ...` on stdout when the events are in the outbox and `delivered` when JetStream has
// them; then waits to be killed.
import { eventCatalog } from '@stowage/events';
import { openEventBus } from '../open-event-bus';

const [stateDir = '', url = '', count = '0'] = process.argv.slice(2);
const quiet = () => undefined;

try {
  const bus = openEventBus({
    stateDir,
    node: 'worker-1',
    app: 'gc-worker',
    nats: { servers: [url], reconnectWaitMs: 50 },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  const { data } = eventCatalog.RuntimeUnavailable.example;
  const publish = () => {
    const ids = Array.from({ length: Number(count) }, () =>
      bus.publish('RuntimeUnavailable', { subject: 'unix:///x.sock', data }),
    );
    process.stdout.write(`written ${ids.join(' ')}\n`);
    void bus.flush().then(() => process.stdout.write('delivered\n'));
  };
  process.stdout.write('open\n');
  process.stdin.once('data', publish);
  process.stdin.resume();
} catch (error) {
  process.stdout.write(
    `${String((error as { code?: unknown }).code)} ${(error as Error).message}\n`,
  );
  process.exitCode = 1;
}
