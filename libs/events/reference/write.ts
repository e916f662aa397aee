// Writes the event reference: `node tools/run-ts.mjs libs/events/reference/write.ts [FOLDER]`.
// FOLDER stands for the repository's root and is that by default. `npm run gen` calls it.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { referenceFiles } from './files';

const out = path.resolve(process.argv[2] ?? path.join(__dirname, '../../..'));
for (const [file, content] of referenceFiles()) {
  mkdirSync(path.dirname(path.join(out, file)), { recursive: true });
  writeFileSync(path.join(out, file), content);
}
