// A real worker killed at 100 random points of collections: `npm run soak -- kill-worker [KILLS
// [SEED]]`.
import { killWorkerAtRandom } from './kill-worker';

const [kills = 100, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);

async function main(): Promise<void> {
  console.log(`${kills} kills, seed ${seed}`);
  const report = await killWorkerAtRandom({ kills, seed, say: (line) => console.log(line) });
  console.log(
    `records and events agreed with the runtime after each of ${kills} kills; ` +
      `${report.midCollection} fell into a collection, ${report.removedBefore} images were gone by then`,
  );
}

void main();
