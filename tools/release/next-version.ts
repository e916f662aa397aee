import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { bumpOf } from './bump';
import { git, project } from './sources';
import type * as NxRelease from 'nx/release';

/**
 * The next version, by Nx: as wanted, or from the Conventional Commits since the last tag `vX.Y.Z`.
 * Writes package.json, package-lock.json and CHANGELOG.md, and commits nothing. A dry run prints
 * the changes instead.
 *
 * @throws Error when no commit since the last tag asks for a version.
 */
export async function nextVersion(
  wanted: string | undefined,
  { dryRun }: { readonly dryRun: boolean },
): Promise<string> {
  process.chdir(project);
  // Not by Nx, which looks only at commits of its root project: most are of an app or a library.
  const specifier = wanted ?? bumpOf(messagesSinceTag(), currentVersion());
  if (specifier === undefined) {
    throw new Error('nothing to release: no commit since the last tag asks for a new version');
  }
  // Nx is large, and `--help` has no use for it.
  const { releaseChangelog, releaseVersion } = createRequire(__filename)(
    'nx/release',
  ) as typeof NxRelease;
  const firstRelease = git('tag', '--list', 'v*') === '';
  const { workspaceVersion, projectsVersionData, releaseGraph } = await releaseVersion({
    specifier,
    dryRun,
    firstRelease,
    gitCommit: false,
    gitTag: false,
    stageChanges: false,
  });
  if (typeof workspaceVersion !== 'string') throw new Error(`${specifier}: no new version`);
  await releaseChangelog({
    version: workspaceVersion,
    versionData: projectsVersionData,
    releaseGraph,
    dryRun,
    firstRelease,
    gitCommit: false,
    gitTag: false,
    stageChanges: false,
    createRelease: false,
  });
  return workspaceVersion;
}

const currentVersion = (): string =>
  (JSON.parse(readFileSync(path.join(project, 'package.json'), 'utf8')) as { version: string })
    .version;

/** Messages of the commits since the last tag of a version; of all where there is none. */
function messagesSinceTag(): string[] {
  const [tag = ''] = git('tag', '--list', 'v*', '--merged', 'HEAD', '--sort=-v:refname').split(
    '\n',
  );
  const range = tag === '' ? 'HEAD' : `${tag}..HEAD`;
  return git('log', '-z', '--format=%B', range).split('\0');
}
