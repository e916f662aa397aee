// Records the data schemas as released: `node tools/run-ts.mjs libs/events/reference/release.ts`.
// Refuses when one changed in a way that breaks a consumer: that is a new version of the event, not
// an edit.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventNames } from '../src';
import { breakingChanges } from './compatibility';
import { dataSchema, schemaFile, type JsonSchema } from './message-schema';

const folder = path.join(__dirname, '../released');
const findings = eventNames.flatMap((name) => {
  const file = path.join(folder, schemaFile(name));
  if (!existsSync(file)) return [];
  const released = JSON.parse(readFileSync(file, 'utf8')) as JsonSchema;
  return breakingChanges(released, dataSchema(name), name);
});
if (findings.length > 0) {
  process.stderr.write(`Not released, these break consumers:\n  ${findings.join('\n  ')}\n`);
  process.exit(1);
}
mkdirSync(folder, { recursive: true });
for (const name of eventNames) {
  const schema = JSON.stringify(dataSchema(name), undefined, 2);
  writeFileSync(path.join(folder, schemaFile(name)), `${schema}\n`);
}
