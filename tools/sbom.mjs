// The bill of materials of a bundle: CycloneDX's tool lists the packages that esbuild took code
// from; the native parts of SQLite and what is compiled into them are added here. Plain JavaScript,
// as tools/build.mjs is. The same bundle always gives the same bytes.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Name of the file in a bundle. */
export const sbomFile = 'bom.json';

const readJson = (...parts) => JSON.parse(readFileSync(path.join(...parts), 'utf8'));

/** Writes the bill of materials beside the bundle; see {@link makeSbom}. */
export function writeSbom({ out, ...bundle }) {
  writeFileSync(path.join(out, sbomFile), makeSbom(bundle));
}

/**
 * The bill of materials as text: CycloneDX 1.6 in JSON.
 * @param bundle.root folder of the workspace
 * @param bundle.metafile what esbuild says of all files of the bundle
 * @param bundle.addons native parts: `file`, and `packageFolder` below the root, whose source has
 *   the SQLite that is compiled in
 */
export function makeSbom({ root, app, version, metafile, addons }) {
  const bom = listPackages(root, metafile);
  nameBundle(bom, app, version);
  for (const addon of addons) addAddon(bom, root, addon);
  const byRef = (a, b) => (refOf(a) < refOf(b) ? -1 : 1);
  bom.components.sort(byRef);
  bom.dependencies.sort(byRef);
  return `${JSON.stringify(bom, null, 2)}\n`;
}

const refOf = (entry) => entry['bom-ref'] ?? entry.ref;

function listPackages(root, metafile) {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-sbom-'));
  try {
    const file = path.join(folder, 'meta.json');
    writeFileSync(file, JSON.stringify(metafile));
    const tool = path.join(root, 'node_modules/@cyclonedx/cyclonedx-esbuild/bin');
    const run = spawnSync(
      process.execPath,
      [
        path.join(tool, 'cyclonedx-esbuild-cli.js'),
        ...['--build-working-dir', root, '--spec-version', '1.6', '--output-reproducible'],
        // tools/sbom.it.spec.ts validates; here it would cost seconds for each bundle.
        ...['--no-validate', '--output-file', '-', file],
      ],
      { encoding: 'utf8', maxBuffer: 1 << 28 },
    );
    if (run.status !== 0) throw new Error(`bill of materials: ${run.stderr || run.error}`);
    return { ...JSON.parse(run.stdout) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The tool names the workspace; the bundle is one app of it. */
function nameBundle(bom, app, version) {
  const { component } = bom.metadata;
  const ref = `@stowage/${app}@${version}`;
  const known = refOf(component);
  bom.metadata.component = {
    type: 'application',
    'bom-ref': ref,
    group: '@stowage',
    name: app,
    version,
    licenses: component.licenses,
  };
  bom.components ??= [];
  bom.dependencies = (bom.dependencies ?? []).map((entry) => ({
    ...entry,
    ref: entry.ref === known ? ref : entry.ref,
    ...(entry.dependsOn && {
      dependsOn: entry.dependsOn.map((on) => (on === known ? ref : on)).sort(),
    }),
  }));
}

function addAddon(bom, root, { file, packageFolder }) {
  const { name, version } = readJson(root, packageFolder, 'package.json');
  const owner = bom.components.find(({ purl }) => purl?.startsWith(`pkg:npm/${name}@${version}`));
  if (owner === undefined)
    throw new Error(`bill of materials: no ${name} ${version} in the bundle`);
  const sqlite = sqliteOf(root, packageFolder);
  const ref = `file:${path.basename(file)}`;
  bom.components.push({
    type: 'file',
    'bom-ref': ref,
    name: path.basename(file),
    description: `Native part of ${name} ${version}`,
    hashes: [
      { alg: 'SHA-256', content: createHash('sha256').update(readFileSync(file)).digest('hex') },
    ],
  });
  if (!bom.components.some((one) => refOf(one) === refOf(sqlite))) {
    bom.components.push(sqlite);
    bom.dependencies.push({ ref: refOf(sqlite) });
  }
  bom.dependencies.push({ ref, dependsOn: [refOf(sqlite)] });
  const known = bom.dependencies.find((entry) => entry.ref === refOf(owner));
  if (known === undefined) bom.dependencies.push({ ref: refOf(owner), dependsOn: [ref] });
  else known.dependsOn = [...(known.dependsOn ?? []), ref].sort();
}

/** SQLite itself, which those who look for its faults know by this name. */
function sqliteOf(root, packageFolder) {
  const header = readFileSync(path.join(root, packageFolder, 'deps/sqlite3/sqlite3.h'), 'utf8');
  const version = /^#define SQLITE_VERSION +"([^"]+)"/m.exec(header)?.[1];
  if (version === undefined) throw new Error(`bill of materials: ${packageFolder} names no SQLite`);
  return {
    type: 'library',
    'bom-ref': `sqlite@${version}`,
    name: 'sqlite',
    version,
    licenses: [{ license: { id: 'blessing' } }],
    cpe: `cpe:2.3:a:sqlite:sqlite:${version}:*:*:*:*:*:*:*`,
    purl: `pkg:generic/sqlite@${version}`,
  };
}
