// Bundles one app: `node tools/build.mjs APP` writes dist/apps/APP/main.js and the SQLite binding beside it.
import { build } from 'esbuild';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const app = process.argv[2];
const entry = path.join(root, 'apps', app ?? '', 'src', 'main.ts');
if (app === undefined || !existsSync(entry)) {
  process.stderr.write(`usage: node tools/build.mjs APP (no apps/${app ?? 'APP'}/src/main.ts)\n`);
  process.exit(64);
}
const out = path.join(root, 'dist', 'apps', app);
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

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

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const result = await build({
  entryPoints: [entry],
  outfile: path.join(out, 'main.js'),
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  tsconfig: path.join(root, 'tsconfig.json'),
  external: unusedByNest,
  define: { STOWAGE_VERSION: JSON.stringify(version) },
  keepNames: true,
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
});
writeFileSync(
  path.join(out, 'package.json'),
  `${JSON.stringify({ name: `@stowage/${app}`, version, type: 'commonjs', private: true })}\n`,
);
writeFileSync(path.join(root, 'dist', `${app}.meta.json`), JSON.stringify(result.metafile));
const usesSqlite = Object.keys(result.metafile.inputs).some((file) =>
  file.includes('better-sqlite3/'),
);
if (usesSqlite) {
  copyFileSync(
    path.join(root, 'node_modules/better-sqlite3/build/Release/better_sqlite3.node'),
    path.join(out, 'better_sqlite3.node'),
  );
}
