// Bundles one app: `node tools/build.mjs APP` writes dist/apps/APP/main.js and, for a service, beside it,
// service.js (the service itself; main.js answers --help without it), files named chunk-… and after a
// module (what these two share, what is loaded late, and the large packages; docs/adr/0050),
// tracing.js (loaded only where traces are wanted), NAME.thread.js for each NAME.thread.ts of the app
// (what a worker thread runs), and the native parts of SQLite, from which libs/sqlite takes the one
// that goes with the Node.js that runs and its processor: a bundle is the same on x64 and arm64.
// bom.json beside them lists the packages that are in all of it (tools/sbom.mjs).
import { build } from 'esbuild';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { writeSbom } from './sbom.mjs';

const root = path.resolve(import.meta.dirname, '..');
const app = process.argv[2];
const entry = path.join(root, 'apps', app ?? '', 'src', 'main.ts');
if (app === undefined || !existsSync(entry)) {
  process.stderr.write(`usage: node tools/build.mjs APP (no apps/${app ?? 'APP'}/src/main.ts)\n`);
  process.exit(64);
}
const out = path.join(root, 'dist', 'apps', app);
/** A service has a configuration; any other app is a program that people start. */
const isService = existsSync(path.join(path.dirname(entry), 'config.ts'));
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

/** What a running service may load first after an upgrade has replaced its files: by a name that stays. */
const loadedLate = { 'config-yaml': 'libs/service-kit/src/config/config-yaml.ts' };

/** Longest file of a service, in characters; docker-shim's service.js has 0.7 million. */
const longestFile = 800_000;

/** Optional packages that NestJS asks for by name and that no Stowage app uses. */
const unusedByNest = [
  '@nestjs/platform-express',
  '@nestjs/websockets',
  '@nestjs/websockets/socket-module',
  '@grpc/proto-loader',
  'amqp-connection-manager',
  'amqplib',
  'cache-manager',
  'class-transformer',
  'class-transformer/storage',
  'class-validator',
  'ioredis',
  'kafkajs',
  'mqtt',
];

/**
 * Large parts of the services, each in files of its own: while V8 compiles a file it holds some 8 bytes
 * for each character of it, and hardly any of that leaves the process again. docs/adr/0050
 */
const largeParts = {
  'cri-proto': 'libs/cri-proto/src/index.ts',
  grpc: '@grpc/grpc-js',
  nats: 'nats',
  'nest-common': '@nestjs/common',
  'nest-core': '@nestjs/core',
  rxjs: 'rxjs',
  yaml: 'yaml',
};

/**
 * NestJS makes a formatter of dates for its console logger when it is loaded, which costs 8 MB of
 * resident memory. The suite logs through its own logger; should NestJS log by itself all the same,
 * the date is in ISO 8601.
 */
const isoDatesInNestLogger = {
  name: 'iso-dates-in-nest-logger',
  setup({ onLoad }) {
    onLoad(
      { filter: /@nestjs[/\\]common[/\\]services[/\\](console-)?logger\.service\.js$/ },
      (file) => {
        const source = readFileSync(file.path, 'utf8');
        const formatter = /new Intl\.DateTimeFormat\(undefined, \{[^}]*\}\)/;
        if (!formatter.test(source)) throw new Error(`${file.path} makes no formatter of dates`);
        const iso = '{ format: (time) => new Date(time).toISOString() }';
        return { contents: source.replace(formatter, iso) };
      },
    );
  },
};

/**
 * The OpenTelemetry SDK is a file of its own, so that a process without traces does not keep its
 * code in memory.
 */
const tracingSource = path.join(root, 'libs/service-kit/src/tracing/otlp-sdk.ts');
const tracingApart = {
  name: 'tracing-apart',
  setup({ onResolve }) {
    onResolve({ filter: /\/otlp-sdk$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './tracing.js', external: true } : undefined,
    );
  },
};

const options = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  // `require` for what is loaded late, too: Node.js's loader of ES modules costs memory, and there is
  // no other use for it.
  supported: { 'dynamic-import': false },
  tsconfig: path.join(root, 'tsconfig.json'),
  define: { STOWAGE_VERSION: JSON.stringify(version) },
  // Each function that is made at run time and assigned gets its name by a call of defineProperty.
  // Methods do not, nor do functions that are only arguments: what is done for every call of a
  // socket is written with these.
  keepNames: true,
  minify: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
/** What went into all files of the bundle. */
const metafile = { inputs: {}, outputs: {} };
if (isService) {
  await bundleService();
  await bundle({
    entryPoints: [tracingSource],
    outfile: path.join(out, 'tracing.js'),
    // The packages' ES modules: of these only what is used is taken.
    mainFields: ['module', 'main'],
  });
} else {
  await bundle({
    entryPoints: [entry],
    outfile: path.join(out, 'main.js'),
    banner: { js: '#!/usr/bin/env node' },
  });
  chmodSync(path.join(out, 'main.js'), 0o755);
}
for (const file of readdirSync(path.dirname(entry), { recursive: true })) {
  if (!file.endsWith('.thread.ts')) continue;
  await bundle({
    entryPoints: [path.join(path.dirname(entry), file)],
    outfile: path.join(out, `${path.basename(file, '.ts')}.js`),
  });
}
for (const file of readdirSync(out)) {
  if (!file.endsWith('.js')) continue;
  const bundled = readFileSync(path.join(out, file));
  if (isService && bundled.length > longestFile) {
    throw new Error(`${app}: ${file} has ${bundled.length} characters; add to largeParts`);
  }
  const wide = bundled.findIndex((byte) => byte > 0x7f);
  if (wide < 0) continue;
  // One such character makes Node.js hold the whole text in two bytes a character. In strings
  // esbuild escapes them.
  const near = bundled.toString('utf8', Math.max(0, wide - 40), wide + 20);
  throw new Error(`${app}: ${file} is not ASCII near ${JSON.stringify(near)}; write it as \\u....`);
}
writeFileSync(
  path.join(out, 'package.json'),
  `${JSON.stringify({ name: `@stowage/${app}`, version, type: 'commonjs', private: true })}\n`,
);
writeFileSync(path.join(root, 'dist', `${app}.meta.json`), JSON.stringify(metafile));
const usesSqlite = Object.keys(metafile.inputs).some((file) => file.startsWith('libs/sqlite/'));
const addons = [];
if (usesSqlite) {
  const prebuilt = path.join(root, 'node_modules/better-sqlite3-napi/prebuilds');
  for (const processor of ['x64', 'arm64']) {
    addAddon(
      path.join(prebuilt, `${libc()}-${processor}.node`),
      `better_sqlite3_napi.${processor}.node`,
      'node_modules/better-sqlite3-napi',
    );
  }
  // Compiled for one version of Node.js, and there is no need to where Node-API 10 is: such a build
  // does not run on Node.js 20.
  const compiled = path.join(root, 'node_modules/better-sqlite3/build/Release/better_sqlite3.node');
  if (existsSync(compiled) || Number(process.versions.napi) < 10) {
    addAddon(compiled, 'better_sqlite3.node', 'node_modules/better-sqlite3');
  }
}
writeSbom({ root, app, version, metafile, addons, out });

/** One file with all that its entry point needs. */
async function bundle(more) {
  const { metafile: made } = await build({ ...options, ...more });
  addToMetafile(made);
}

/**
 * `main.js` and `service.js`, with the files that both of them load. esbuild only splits what it writes
 * as ES modules, so they are converted afterwards.
 */
async function bundleService() {
  const service = path.join(path.dirname(entry), 'service.ts');
  const { metafile: made } = await build({
    ...options,
    entryPoints: { ...largeParts, ...loadedLate, main: entry, service },
    outdir: out,
    format: 'esm',
    splitting: true,
    supported: {},
    chunkNames: '[name]-[hash]',
    external: unusedByNest,
    plugins: [tracingApart, isoDatesInNestLogger],
  });
  // A part that this service has no use for is not in its bundle.
  const outputs = reached(made.outputs, path.join(out, 'main.js'), path.join(out, 'service.js'));
  for (const [file, { entryPoint }] of Object.entries(outputs)) {
    if (made.inputs[entryPoint]?.format !== 'cjs') continue;
    // Its file exports what CommonJS assigns as its default, and nothing by name.
    throw new Error(`${app}: ${file} is loaded late; load a module late that imports it by name`);
  }
  for (const file of Object.keys(made.outputs)) {
    const code = file.replace(/\.(map|LEGAL\.txt)$/, '');
    if (outputs[code] === undefined) rmSync(path.join(root, file));
  }
  await build({
    ...options,
    entryPoints: Object.keys(outputs),
    outdir: out,
    allowOverwrite: true,
    bundle: false,
    keepNames: false,
    legalComments: 'inline',
  });
  const inputs = reached(made.inputs, entry, service);
  // The bill of materials follows imports file by file, also through those of which nothing is left.
  const main = outputs[path.relative(root, path.join(out, 'main.js'))];
  const unnamed = Object.keys(inputs).map((file) => [file, { bytesInOutput: 0 }]);
  main.inputs = { ...Object.fromEntries(unnamed), ...main.inputs };
  addToMetafile({ inputs, outputs });
}

/** Of inputs or outputs, these files and all that they import, at once or later. */
function reached(known, ...files) {
  const names = new Set(files.map((file) => path.relative(root, file)));
  for (const name of names) {
    for (const { path: imported } of known[name].imports) if (known[imported]) names.add(imported);
  }
  return Object.fromEntries([...names].map((name) => [name, known[name]]));
}

/** Adds to what is known of the bundle. */
function addToMetafile({ inputs, outputs }) {
  for (const [file, input] of Object.entries(inputs)) {
    const known = metafile.inputs[file];
    metafile.inputs[file] = known
      ? { ...known, imports: [...known.imports, ...input.imports] }
      : input;
  }
  Object.assign(metafile.outputs, outputs);
}

function addAddon(source, name, packageFolder) {
  const file = path.join(out, name);
  copyFileSync(source, file);
  addons.push({ file, packageFolder });
}

/** As better-sqlite3 13 names its prebuilt binaries; glibc reports its version, musl does not. */
function libc() {
  const { glibcVersionRuntime } = process.report.getReport().header;
  return glibcVersionRuntime === undefined ? 'linuxmusl' : 'linux';
}
