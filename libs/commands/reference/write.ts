// Writes the command reference: `node tools/run-ts.mjs libs/commands/reference/write.ts [FOLDER]`.
// FOLDER stands for the repository's root and is that by default. `npm run gen` calls it.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import prettier from 'prettier';
import { commandsPage } from './commands-page';

const root = path.join(__dirname, '../../..');
const page = 'docs/reference/commands.md';

async function main(): Promise<void> {
  const file = path.join(path.resolve(process.argv[2] ?? root), page);
  const options = await prettier.resolveConfig(path.join(root, page));
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, await prettier.format(commandsPage(), { ...options, filepath: file }));
}

void main();
