// Writes docs/tested-versions.md below the folder named by the argument, from results.json.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { MatrixResult } from './results';
import { testedVersions } from './table';

const [out = '.'] = process.argv.slice(2);
const results = JSON.parse(
  readFileSync(path.join(__dirname, 'results.json'), 'utf8'),
) as MatrixResult[];
mkdirSync(path.join(out, 'docs'), { recursive: true });
writeFileSync(path.join(out, 'docs', 'tested-versions.md'), testedVersions(results));
