// 600 MB kept under their mark for five minutes while an image is pulled every second: `npm run
// soak -- keep-under-mark [SECONDS [SEED]]`.
import { keepUnderMark } from './keep-under-mark';

const [seconds = 300, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);

async function main(): Promise<void> {
  console.log(`${seconds} s, seed ${seed}`);
  const report = await keepUnderMark({ seconds, seed, say: (line) => console.log(line) });
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  console.log(
    `${report.pulls} pulls, ${report.removals} removals in ${report.collections} collections; ` +
      `never more than ${megabytes(report.peakBytes)} MB in use (high mark and one image: ${megabytes(report.limitBytes)} MB), ` +
      'no used image removed, events equal to what happened',
  );
}

void main();
