import { TestNatsServer } from '@stowage/testing';
import { rmSync } from 'node:fs';
import { killPublishers } from './testing/kill-publishers';
import { streamEvents, temporaryFolder, testBus } from './testing/test-bus';

const rounds = 10;

it(`a publisher killed ${String(rounds)} times at random points loses nothing, and nothing is stored twice`, async () => {
  const server = await TestNatsServer.start();
  const stateDir = temporaryFolder();
  try {
    const { written, killedBeforeDelivered } = await killPublishers(stateDir, server.url, rounds);
    expect(killedBeforeDelivered).toBeGreaterThan(0);
    const bus = testBus({ stateDir, url: server.url });
    expect(await bus.flush({ signal: AbortSignal.timeout(60_000) })).toBe(true);
    await bus.close();
    const events = (await streamEvents(server.url)).map(({ event }) => event);
    const ids = new Set(events.map(({ id }) => id));
    expect(ids.size).toBe(events.length);
    expect(written.filter((id) => !ids.has(id))).toEqual([]);
    // What was written by those killed before they could say so is there as well: no sequence is
    // missing.
    expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, i) => i + 1));
  } finally {
    await server.remove();
    rmSync(stateDir, { recursive: true, force: true });
  }
}, 300_000);
