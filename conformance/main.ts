import path from 'node:path';
import { AdapterError, loadAdapters } from './adapters';
import { notApplicableSections } from './not-applicable';
import { pendingFiles } from './pending';
import { reportLines } from './report';
import { isConformant, runConformance } from './run';
import { loadVectors, VectorError } from './vectors';

/** `npm run conformance -- [DIR]`: exit 0 all passed, 1 anything else, 64 wrong usage. */
async function main(args: readonly string[]): Promise<number> {
  const root = path.resolve(__dirname, '..');
  const [dir = path.join(__dirname, 'vectors'), ...rest] = args;
  if (rest.length > 0 || dir.startsWith('-')) {
    process.stderr.write('usage: npm run conformance -- [DIR]\n');
    return 64;
  }
  try {
    const report = await runConformance({
      vectors: loadVectors(dir),
      adapters: await loadAdapters(root),
      pendingFiles,
      notApplicable: notApplicableSections,
    });
    process.stdout.write(`${reportLines(report).join('\n')}\n`);
    return isConformant(report) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof VectorError || error instanceof AdapterError)) throw error;
    process.stderr.write(`conformance: ${error.message}\n`);
    return 1;
  }
}

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
