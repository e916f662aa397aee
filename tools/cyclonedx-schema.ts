import { readFileSync } from 'node:fs';
import path from 'node:path';
import Ajv, { type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';

const schemas = path.resolve(__dirname, '../node_modules/@cyclonedx/cyclonedx-library/res/schema');

let compiled: ValidateFunction | undefined;

/** What a bill of materials has that CycloneDX's schema 1.6 does not allow; empty for none. */
export function cycloneDxProblems(bom: unknown): string {
  compiled ??= compileSchema();
  return compiled(bom) ? '' : new Ajv().errorsText(compiled.errors);
}

function compileSchema(): ValidateFunction {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  // Of drafts that ajv-formats does not have.
  for (const format of ['iri-reference', 'idn-email']) ajv.addFormat(format, true);
  // They refer to each other by the names of these files, which are not their ids.
  const load = (name: string) =>
    JSON.parse(
      readFileSync(path.join(schemas, `${name}.SNAPSHOT.schema.json`), 'utf8').replaceAll(
        '.SNAPSHOT.',
        '.',
      ),
    ) as object;
  for (const name of ['spdx', 'jsf-0.82']) ajv.addSchema(load(name));
  return ajv.compile(load('bom-1.6'));
}
