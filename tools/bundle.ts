import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const apps = path.resolve(__dirname, '../dist/apps');

/** Of a bill of materials in CycloneDX's JSON, what is read here. */
interface Bom {
  readonly components: readonly {
    readonly 'bom-ref': string;
    readonly type: string;
    readonly name: string;
  }[];
  readonly dependencies: readonly {
    readonly ref: string;
    readonly dependsOn?: readonly string[];
  }[];
}

/**
 * Copies the bundle of an app from `dist/apps` as it is published: of the native parts of SQLite
 * those that are wanted alone, and a bill of materials that lists what is there.
 */
export function copyBundle(
  app: string,
  folder: string,
  isWanted: (nativePart: string) => boolean,
): void {
  const isThere = (file: string) => !file.endsWith('.node') || isWanted(path.basename(file));
  cpSync(path.join(apps, app), folder, { recursive: true, filter: isThere });
  const bill = path.join(folder, 'bom.json');
  writeFileSync(bill, billOf(readFileSync(bill, 'utf8'), isThere));
}

/** A bill of materials without the files that are left out, and what only they have in them. */
export function billOf(text: string, isThere: (file: string) => boolean): string {
  const bom = JSON.parse(text) as Bom;
  const gone = new Set(
    bom.components
      .filter(({ type, name }) => type === 'file' && !isThere(name))
      .map((component) => component['bom-ref']),
  );
  const needed = (isOfGone: boolean) =>
    bom.dependencies.flatMap(({ ref, dependsOn = [] }) =>
      gone.has(ref) === isOfGone ? dependsOn : [],
    );
  const others = new Set(needed(false));
  for (const ref of needed(true)) if (!others.has(ref)) gone.add(ref);
  const left = {
    ...bom,
    components: bom.components.filter((component) => !gone.has(component['bom-ref'])),
    dependencies: bom.dependencies
      .filter(({ ref }) => !gone.has(ref))
      .map((entry) =>
        entry.dependsOn === undefined
          ? entry
          : { ...entry, dependsOn: entry.dependsOn.filter((ref) => !gone.has(ref)) },
      ),
  };
  return `${JSON.stringify(left, null, 2)}\n`;
}
