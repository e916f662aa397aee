// A worker's first detection in a process of its own, to be killed: `node --import tsx
// detecting-process.ts STATE_DIR IMAGES`. Says `ready`, begins at the first line it reads, says
// `done`.
import { detectingWorker } from './detecting-worker';

async function main(stateDir: string, imageCount: number): Promise<void> {
  const { detect } = detectingWorker(stateDir, imageCount);
  process.stdout.write('ready\n');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  await detect();
  process.stdout.write('done\n');
}

void main(process.argv[2] ?? '', Number(process.argv[3]));
