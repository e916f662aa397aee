// Writes every generated file of the repository: `npm run gen`. `npm run gen -- --check` writes
// them to a temporary folder instead, compares, names the stale files and exits 1.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import prettier from 'prettier';

const root = path.resolve(import.meta.dirname, '..');

/**
 * One entry a generator. `owns` lists the files and folders it writes, relative to the root: a
 * folder holds nothing else, so a file there that the generator no longer writes is stale.
 * `write(out)` writes them below `out`, which is the root itself or an empty folder; it reads its
 * sources from the root.
 */
const generators = [
  {
    name: 'cri-proto',
    owns: [
      'libs/cri-proto/src/gen',
      'libs/cri-proto/src/index.ts',
      'libs/cri-proto/src/v1alpha2.ts',
    ],
    write: writeCriProto,
  },
  {
    name: 'events',
    owns: ['docs/reference/events', 'docs/reference/asyncapi.yaml', 'docs/reference/events.md'],
    write: (out) => runTypeScript('libs/events/reference/write.ts', out),
  },
  {
    name: 'configuration',
    owns: ['docs/reference/configuration.md'],
    write: (out) => runTypeScript('tools/configuration-reference.ts', out),
  },
  {
    name: 'commands',
    owns: ['docs/reference/commands.md'],
    write: (out) => runTypeScript('libs/commands/reference/write.ts', out),
  },
  {
    name: 'metrics',
    owns: ['docs/reference/metrics.md'],
    write: (out) => runTypeScript('tools/metrics-reference.ts', out),
  },
  {
    name: 'monitoring',
    owns: ['deploy/monitoring/dashboards', 'docs/reference/alerts.md'],
    write: (out) => runTypeScript('deploy/monitoring/src/write.ts', out),
  },
  {
    name: 'tested versions',
    owns: ['docs/tested-versions.md'],
    write: (out) => runTypeScript('tools/matrix/write-table.ts', out),
  },
  {
    name: 'chart',
    owns: [
      'deploy/helm/stowage/Chart.yaml',
      'deploy/helm/stowage/values.schema.json',
      'deploy/helm/stowage/files',
      'docs/reference/helm-values.md',
    ],
    write: (out) => runTypeScript('tools/chart/write-files.ts', out),
  },
];

/** Runs a script of the workspace in a process of its own. */
function runTypeScript(script, ...args) {
  execFileSync(process.execPath, [path.join(root, 'tools/run-ts.mjs'), script, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

async function writeCriProto(out) {
  const gen = path.join(out, 'libs/cri-proto/src/gen');
  execFileSync(
    path.join(root, 'node_modules/.bin/buf'),
    ['generate', 'libs/cri-proto/proto', '--template', 'libs/cri-proto/buf.gen.yaml', '-o', gen],
    { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  for (const [entry, pkg] of [
    ['index', 'v1'],
    ['v1alpha2', 'v1alpha2'],
  ]) {
    const source = readFileSync(path.join(gen, `runtime/${pkg}/api.ts`), 'utf8');
    const names = [...source.matchAll(/^export (const|enum|interface|type) (\w+)/gm)].filter(
      (match) => !/^protobuf(FileName|Package)$|_\w+Entry$/.test(nameOf(match)),
    );
    const values = new Set(
      names.filter(([, kind]) => kind === 'const' || kind === 'enum').map(nameOf),
    );
    const types = new Set(names.map(nameOf).filter((name) => !values.has(name)));
    await writeFormatted(
      path.join(out, `libs/cri-proto/src/${entry}.ts`),
      `// Written by tools/gen.mjs from proto/runtime/${pkg}/api.proto; do not edit.\n` +
        `export { ${[...values].sort().join(', ')} } from './gen/runtime/${pkg}/api';\n` +
        `export type { ${[...types].sort().join(', ')} } from './gen/runtime/${pkg}/api';\n`,
    );
  }
}

function nameOf(match) {
  return match[2];
}

/**
 * Writes a file in the repository's own formatting, so that the format check and the freshness
 * check agree.
 */
async function writeFormatted(file, text) {
  const options = await prettier.resolveConfig(path.join(root, path.basename(file)));
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, await prettier.format(text, { ...options, filepath: file }));
}

/** Every file below `base/owned`, relative to `base`; none when it does not exist. */
function filesBelow(base, owned) {
  const full = path.join(base, owned);
  if (!existsSync(full)) return [];
  return readdirSync(path.dirname(full), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(base, path.join(entry.parentPath, entry.name)))
    .filter((file) => file === owned || file.startsWith(`${owned}/`));
}

async function check() {
  const out = mkdtempSync(path.join(tmpdir(), 'stowage-gen-'));
  const stale = [];
  try {
    for (const generator of generators) {
      await generator.write(out);
      for (const owned of generator.owns) {
        for (const file of new Set([...filesBelow(root, owned), ...filesBelow(out, owned)])) {
          const [committed, fresh] = [root, out].map((base) => path.join(base, file));
          if (!existsSync(committed)) stale.push(`${file} (missing)`);
          else if (!existsSync(fresh)) stale.push(`${file} (no longer generated)`);
          else if (!readFileSync(committed).equals(readFileSync(fresh))) stale.push(file);
        }
      }
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
  if (stale.length > 0) {
    process.stderr.write(
      `Generated files are stale; run \`npm run gen\` and commit:\n${stale.map((file) => `  ${file}\n`).join('')}`,
    );
    return 1;
  }
  return 0;
}

async function generate() {
  for (const generator of generators) {
    for (const owned of generator.owns) {
      rmSync(path.join(root, owned), { recursive: true, force: true });
    }
    await generator.write(root);
  }
  return 0;
}

const unknown = process.argv.slice(2).filter((argument) => argument !== '--check');
if (unknown.length > 0) {
  process.stderr.write(`usage: npm run gen [-- --check] (unknown: ${unknown.join(' ')})\n`);
  process.exitCode = 64;
} else {
  process.exitCode = await (process.argv.includes('--check') ? check() : generate());
}
