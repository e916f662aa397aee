import { killAtRandom } from './testing/kill-shim';

/** The short form of the soak: `npm run soak -- kill-shim`. */
it.each([false, true])(
  'shim and engine are killed while pods come and go, and nothing is lost or left (live-restore %s)',
  async (liveRestore) => {
    const report = await killAtRandom({ kills: 4, seed: 20_261_129, liveRestore });
    expect(report.problems).toEqual([]);
    expect(report.kills).toEqual({ shim: 2, engine: 1, both: 1 });
    expect(report.pods).toBeGreaterThanOrEqual(3);
    expect(report.logs).toBeGreaterThanOrEqual(report.pods);
  },
  120_000,
);
