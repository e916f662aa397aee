/** Makes a release, or shows what it would be: `npm run release -- --help`. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { errorMessage } from '@stowage/errors';
import { releasedPrograms } from '../app-folders';
import { buildArtifacts } from './artifacts';
import { nextVersion } from './next-version';
import { git, project, run, timeOfCommit } from './sources';

const help = `usage: npm run release [-- OPTION ...] [VERSION]

Without an option: writes the next version and its change log, commits and tags them. Pushing the tag publishes the release.
VERSION is major, minor, patch or a version such as 1.2.3. Default: what the commits since the last tag ask for.

options:
  --dry-run      changes no file of the sources: prints the version and change log, and builds what would be published
  --artifacts    builds what is published of the version that the sources have, and nothing else
  --twice        with either: builds it a second time, and fails where the bytes differ
  --out FOLDER   of what is published. Default: dist/release
  --help
`;

/** The command line asks for something that there is not. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'dry-run': { type: 'boolean', default: false },
      artifacts: { type: 'boolean', default: false },
      twice: { type: 'boolean', default: false },
      out: { type: 'string', default: path.join(project, 'dist/release') },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return;
  }
  if (positionals.length > 1) throw new UsageError(`one VERSION, not ${positionals.length}`);
  const [wanted] = positionals;
  if (wanted !== undefined && !/^(major|minor|patch|\d+\.\d+\.\d+(-[\w.]+)?)$/.test(wanted)) {
    throw new UsageError(`${wanted}: not major, minor, patch or a version such as 1.2.3`);
  }
  if (values.artifacts && (values['dry-run'] || wanted !== undefined)) {
    throw new UsageError('--artifacts goes with neither --dry-run nor a VERSION');
  }
  if (values.twice && !values.artifacts && !values['dry-run']) {
    throw new UsageError('--twice goes with --dry-run or --artifacts');
  }
  const out = path.resolve(values.out);
  if (values.artifacts || values['dry-run']) {
    if (values['dry-run']) await nextVersion(wanted, { dryRun: true });
    printArtifacts(out, values.twice);
    return;
  }
  const changed = git('status', '--porcelain');
  if (changed !== '') throw new Error(`commit or stash first:\n${changed}`);
  const version = await nextVersion(wanted, { dryRun: false });
  // Pages and the chart that name the version, and the lock file, which npm has just rewritten.
  run(process.execPath, ['tools/complete-lockfile.mjs']);
  run(process.execPath, ['tools/gen.mjs']);
  git('commit', '--quiet', '--all', '--message', `chore: release ${version}`);
  git('tag', '--annotate', `v${version}`, '--message', `Stowage ${version}`);
  process.stdout.write(`tagged v${version}; to publish it: git push --follow-tags\n`);
}

function printArtifacts(out: string, twice: boolean): void {
  const { version } = JSON.parse(readFileSync(path.join(project, 'package.json'), 'utf8')) as {
    version: string;
  };
  const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? timeOfCommit());
  const sums = buildArtifacts({ version, epoch, out });
  if (twice) {
    // Not by Nx, which would take what it has built before.
    for (const app of releasedPrograms) run(process.execPath, ['tools/build.mjs', app]);
    const again = buildArtifacts({ version, epoch, out }).split('\n');
    const changed = sums.split('\n').filter((line) => !again.includes(line));
    if (changed.length > 0) throw new Error(`other bytes the second time:\n${changed.join('\n')}`);
  }
  process.stdout.write(`\n${sums}\n${out}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`release: ${errorMessage(error)}\n`);
  const { code } = error as NodeJS.ErrnoException;
  const isUsage = error instanceof UsageError || String(code).startsWith('ERR_PARSE_ARGS');
  process.exitCode = isUsage ? 64 : 1;
});
