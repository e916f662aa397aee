// Builds a package for npm: `node tools/build-package.mjs events` writes dist/packages/events and
// the tarball beside it.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import ts from 'typescript';

const root = path.resolve(import.meta.dirname, '..');

/**
 * What each package is made of. Declarations keep their place below libs/, as the package's
 * `exports` say.
 */
const packages = {
  events: {
    source: 'libs/events/package',
    entries: { index: 'libs/events/src/index.ts', consumer: 'libs/event-bus/src/consumer.ts' },
    // The consumer takes the contracts from the package's other entry, so that there is one of each
    // class.
    external: ['@stowage/events', 'nats', 'zod'],
    declarations: ['libs/events/', 'libs/event-bus/'],
  },
  commands: {
    source: 'libs/commands/package',
    entries: {
      index: 'libs/commands/src/index.ts',
      client: 'libs/command-client/src/index.ts',
      local: 'libs/command-client/src/local.ts',
    },
    external: ['@stowage/commands', '@stowage/events', 'nats', 'zod'],
    declarations: ['libs/commands/', 'libs/command-client/'],
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string', default: path.join(root, 'dist', 'packages') } },
});
const [name = ''] = positionals;
const wanted = Object.hasOwn(packages, name) ? packages[name] : undefined;
if (wanted === undefined) {
  const names = Object.keys(packages).join(', ');
  process.stderr.write(`usage: node tools/build-package.mjs NAME [--out FOLDER]; NAME: ${names}\n`);
  process.exit(64);
}
const parent = path.resolve(values.out);
const out = path.join(parent, name);

const readJson = (...parts) => JSON.parse(readFileSync(path.join(root, ...parts), 'utf8'));

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  entryPoints: Object.fromEntries(
    Object.entries(wanted.entries).map(([entry, file]) => [entry, path.join(root, file)]),
  ),
  outdir: out,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  tsconfig: path.join(root, 'tsconfig.json'),
  external: wanted.external,
  keepNames: true,
  logLevel: 'warning',
});
writeDeclarations();
const { version } = readJson('package.json');
const manifest = { ...readJson(wanted.source, 'package.json'), version };
writeFileSync(path.join(out, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
copyFileSync(path.join(root, wanted.source, 'README.md'), path.join(out, 'README.md'));
copyFileSync(path.join(root, 'LICENSE'), path.join(out, 'LICENSE'));

const pack = spawnSync('npm', ['pack', '--silent', '--pack-destination', parent, out], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
if (pack.status !== 0) process.exit(pack.status ?? 1);
process.stdout.write(`${path.join(parent, pack.stdout.trim())}\n`);

/** Types of the entries and of what they name, by the compiler options of the workspace. */
function writeDeclarations() {
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.base.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [] }, ts.sys, root);
  const program = ts.createProgram(
    Object.values(wanted.entries).map((file) => path.join(root, file)),
    {
      ...options,
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      types: ['node'],
      rootDir: path.join(root, 'libs'),
      outDir: path.join(out, 'types'),
    },
  );
  const { diagnostics } = program.emit(undefined, (file, text, _bom, _onError, sources) => {
    const source = path.relative(root, sources?.[0]?.fileName ?? '');
    if (!wanted.declarations.some((folder) => source.startsWith(folder))) return;
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  });
  const errors = [...ts.getPreEmitDiagnostics(program), ...diagnostics];
  if (errors.length > 0) {
    process.stderr.write(
      ts.formatDiagnostics(errors, {
        getCanonicalFileName: (file) => file,
        getCurrentDirectory: () => root,
        getNewLine: () => '\n',
      }),
    );
    process.exit(1);
  }
}
