// A publisher killed 100 times (or as often as the argument says) at random points between write
// and acknowledgement: `npm run soak -- kill-publishers [ROUNDS]`. The short form is
// ../kill-publishers.it.spec.ts.
import { TestNatsServer } from '@stowage/testing';
import { rmSync } from 'node:fs';
import { killPublishers } from './kill-publishers';
import { streamEvents, temporaryFolder, testBus } from './test-bus';

async function main(rounds: number): Promise<void> {
  const server = await TestNatsServer.start();
  const stateDir = temporaryFolder();
  try {
    const { written, killedBeforeDelivered } = await killPublishers(stateDir, server.url, rounds);
    const bus = testBus({ stateDir, url: server.url });
    const flushed = await bus.flush({ signal: AbortSignal.timeout(120_000) });
    await bus.close();
    const events = (await streamEvents(server.url)).map(({ event }) => event);
    const ids = new Set(events.map(({ id }) => id));
    const lost = written.filter((id) => !ids.has(id)).length;
    const doubled = events.length - ids.size;
    const misplaced = events.filter(({ sequence }, i) => sequence !== i + 1).length;
    process.stdout.write(
      `${rounds} kills (${killedBeforeDelivered} with events under way), ${events.length} events: ${lost} lost, ` +
        `${doubled} twice, ${misplaced} out of order or after a gap\n`,
    );
    if (!flushed || lost + doubled + misplaced > 0 || events.length === 0) process.exitCode = 1;
  } finally {
    await server.remove();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

main(Number(process.argv[2] ?? 100)).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
