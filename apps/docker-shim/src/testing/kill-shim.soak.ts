// docker-shim and its engine killed 100 times while pods come and go: `npm run soak -- kill-shim
// [KILLS [SEED]]`. The short form is in kill-shim.it.spec.ts.
import { killAtRandom } from './kill-shim';

const [kills = 100, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);

async function main(): Promise<void> {
  console.log(`${kills} kills, seed ${seed}`);
  for (const liveRestore of [false, true]) {
    const report = await killAtRandom({
      kills: Math.ceil(kills / 2),
      seed: seed + Number(liveRestore),
      liveRestore,
      say: (line) => console.log(line),
    });
    console.log(JSON.stringify({ liveRestore, ...report }, undefined, 2));
    if (report.problems.length > 0) process.exitCode = 1;
  }
}

void main();
