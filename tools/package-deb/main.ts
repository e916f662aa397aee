/** Builds the Debian packages of this version: `npm run package:deb -- --help`. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { errorMessage } from '@stowage/errors';
import { buildDeb, type DebOptions } from './build-deb';
import { architectures, type Architecture } from './node-release';

const project = path.resolve(__dirname, '../..');

const help = `usage: npm run package:deb [-- OPTION ...]

Builds stowage_VERSION-REVISION_ARCH.deb for each processor, and prints the files. The same commit gives the same bytes.

options:
  --arch ARCH         amd64 or arm64; may be repeated. Default: both
  --revision N        of the package, where the version of Stowage stays. Default: 1
  --out FOLDER        default: dist/debian
  --compression HOW   xz (default), gzip, or none
  --help

environment:
  SOURCE_DATE_EPOCH   time of everything in the package, seconds. Default: that of the commit
  DEBFULLNAME, DEBEMAIL   whose package it is
`;

/** The command line asks for something that there is not. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

function numberOf(text: string, what: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new UsageError(`${what} ${text}: a whole number is wanted`);
  return Number(text);
}

/** When the sources were made, where nobody says it. */
const timeOfCommit = (): string =>
  execFileSync('git', ['-c', `safe.directory=${project}`, 'log', '-1', '--format=%ct'], {
    cwd: project,
    encoding: 'utf8',
  }).trim();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      arch: { type: 'string', multiple: true, default: Object.keys(architectures) },
      revision: { type: 'string', default: '1' },
      out: { type: 'string', default: path.join(project, 'dist/debian') },
      compression: { type: 'string', default: 'xz' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return;
  }
  const { version } = JSON.parse(readFileSync(path.join(project, 'package.json'), 'utf8')) as {
    version: string;
  };
  const { SOURCE_DATE_EPOCH, DEBFULLNAME, DEBEMAIL } = process.env;
  const compressions = ['xz', 'gzip', 'none'] as const;
  const compression = compressions.find((known) => known === values.compression);
  if (compression === undefined) {
    throw new UsageError(`--compression ${values.compression}: not ${compressions.join(', ')}`);
  }
  const unknown = values.arch.find((name) => !Object.hasOwn(architectures, name));
  if (unknown !== undefined) {
    throw new UsageError(`--arch ${unknown}: not ${Object.keys(architectures).join(', ')}`);
  }
  const options: Omit<DebOptions, 'architecture'> = {
    version,
    revision: numberOf(values.revision, '--revision'),
    epoch: numberOf(SOURCE_DATE_EPOCH ?? timeOfCommit(), 'SOURCE_DATE_EPOCH'),
    maintainer: `${DEBFULLNAME ?? 'Stowage maintainers'} <${DEBEMAIL ?? 'maintainers@stowage.invalid'}>`,
    compression,
    out: path.resolve(values.out),
  };
  for (const architecture of values.arch as Architecture[]) {
    process.stdout.write(`${await buildDeb({ ...options, architecture })}\n`);
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`package:deb: ${errorMessage(error)}\n`);
  process.exitCode = error instanceof UsageError || isOptionError(error) ? 64 : 1;
});

function isOptionError(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');
}
