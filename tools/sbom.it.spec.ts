import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { appNames } from './app-folders';
import { cycloneDxProblems } from './cyclonedx-schema';

const root = path.resolve(__dirname, '..');

interface Component {
  readonly type: string;
  readonly name: string;
  readonly group?: string;
  readonly version?: string;
  readonly purl?: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}
interface Bom {
  readonly serialNumber?: string;
  readonly metadata: { readonly timestamp?: string; readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: string[] }[];
}
interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { bytesInOutput: number }>> }>
  >;
}

const read = (...parts: string[]): unknown =>
  JSON.parse(readFileSync(path.join(root, ...parts), 'utf8'));
const packageOf = (folder: string) =>
  read(folder, 'package.json') as { readonly name: string; readonly version: string };
const bomOf = (app: string) => read('dist/apps', app, 'bom.json') as Bom;

/** `name@version` of each package that has code in a bundle, by esbuild's own account. */
function bundledPackages(app: string): string[] {
  const { outputs } = read('dist', `${app}.meta.json`) as Metafile;
  const files = Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([file, { bytesInOutput }]) =>
      bytesInOutput > 0 ? [file] : [],
    ),
  );
  const folders = new Set(
    files.flatMap((file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []),
  );
  const named = [...folders].map((folder) => {
    const { name, version } = packageOf(folder);
    return `${name}@${version}`;
  });
  return [...new Set(named)].sort();
}

const nameOf = ({ group, name, version }: Component): string =>
  `${group === undefined ? '' : `${group}/`}${name}@${version ?? ''}`;

describe.each([...appNames, 'stowctl'])('the bill of materials of %s', (app) => {
  it("satisfies CycloneDX's schema, which refuses another one", () => {
    expect(cycloneDxProblems(bomOf(app))).toBe('');
    expect(cycloneDxProblems({ ...bomOf(app), components: [{ type: 'package' }] })).not.toBe('');
  });

  it('names the app, and nothing of when and where it was made', () => {
    const { version } = packageOf('.');
    const { serialNumber, metadata } = bomOf(app);
    expect(nameOf(metadata.component)).toBe(`@stowage/${app}@${version}`);
    expect([serialNumber, metadata.timestamp]).toEqual([undefined, undefined]);
    expect(JSON.stringify(bomOf(app))).not.toContain(root);
  });

  it('lists every package that has code in the bundle', () => {
    const listed = new Set(bomOf(app).components.map(nameOf));
    const bundled = bundledPackages(app);
    expect(bundled.length).toBeGreaterThan(1);
    expect(bundled.filter((name) => !listed.has(name))).toEqual([]);
  });

  it('lists each native part with its hash, and the SQLite in it', () => {
    const folder = path.join(root, 'dist/apps', app);
    const addons = readdirSync(folder).filter((name) => name.endsWith('.node'));
    const { components } = bomOf(app);
    const hashOf = (name: string) =>
      createHash('sha256')
        .update(readFileSync(path.join(folder, name)))
        .digest('hex');
    expect(
      components.filter(({ type }) => type === 'file').map(({ name, hashes }) => [name, hashes]),
    ).toEqual(addons.map((name) => [name, [{ alg: 'SHA-256', content: hashOf(name) }]]));
    const sqlite = components.filter(({ purl }) => purl?.startsWith('pkg:generic/sqlite@'));
    expect(sqlite.length > 0).toBe(addons.length > 0);
  });

  it('has no dependency on what it does not list', () => {
    const { components, dependencies, metadata } = bomOf(app);
    const refs = new Set(
      [metadata.component, ...components].map((one) => (one as { 'bom-ref'?: string })['bom-ref']),
    );
    const named = dependencies.flatMap(({ ref, dependsOn = [] }) => [ref, ...dependsOn]);
    expect(named.filter((ref) => !refs.has(ref))).toEqual([]);
  });

  it('is the same, byte for byte, when it is made again', () => {
    const again = `
      import { readdirSync, readFileSync } from 'node:fs';
      import path from 'node:path';
      import { makeSbom } from ${JSON.stringify(pathToFileURL(path.join(__dirname, 'sbom.mjs')).href)};
      const [root, app] = process.argv.slice(1);
      const folder = path.join(root, 'dist/apps', app);
      const json = (file) => JSON.parse(readFileSync(path.join(root, file), 'utf8'));
      const addons = readdirSync(folder).filter((name) => name.endsWith('.node')).map((name) => ({
        file: path.join(folder, name),
        packageFolder: name === 'better_sqlite3.node'
          ? 'node_modules/better-sqlite3' : 'node_modules/better-sqlite3-napi',
      }));
      const { version } = json('package.json');
      const metafile = json('dist/' + app + '.meta.json');
      process.stdout.write(makeSbom({ root, app, version, metafile, addons }));`;
    const made = execFileSync(
      process.execPath,
      ['--input-type=module', '-e', again, '--', root, app],
      { encoding: 'utf8', maxBuffer: 1 << 28, cwd: path.dirname(root) },
    );
    expect(made).toBe(readFileSync(path.join(root, 'dist/apps', app, 'bom.json'), 'utf8'));
  });
});

it('a bundle of a service has the native part for both processors', () => {
  const folder = path.join(root, 'dist/apps/gc-worker');
  const machines = ['x64', 'arm64'].map((processor) => {
    const file = path.join(folder, `better_sqlite3_napi.${processor}.node`);
    // e_machine of the ELF header: 62 is x86-64, 183 is AArch64.
    return existsSync(file) ? readFileSync(file).readUInt16LE(18) : undefined;
  });
  expect(machines).toEqual([62, 183]);
});
