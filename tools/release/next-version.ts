import { createRequire } from 'node:module';
import { git, project } from './sources';
import type * as NxRelease from 'nx/release';

/**
 * The next version by Nx: from the Conventional Commits since the last tag `vX.Y.Z`, or as wanted.
 * Writes package.json, package-lock.json and CHANGELOG.md, and commits nothing. A dry run prints
 * the changes instead.
 */
export async function nextVersion(
  wanted: string | undefined,
  { dryRun }: { readonly dryRun: boolean },
): Promise<string> {
  process.chdir(project);
  // Nx is large, and `--help` has no use for it.
  const { releaseChangelog, releaseVersion } = createRequire(__filename)(
    'nx/release',
  ) as typeof NxRelease;
  const { workspaceVersion, projectsVersionData, releaseGraph } = await releaseVersion({
    ...(wanted !== undefined && { specifier: wanted }),
    dryRun,
    firstRelease: git('tag', '--list', 'v*') === '',
    gitCommit: false,
    gitTag: false,
    stageChanges: false,
  });
  if (typeof workspaceVersion !== 'string') {
    throw new Error('nothing to release: no commit since the last tag asks for a new version');
  }
  await releaseChangelog({
    version: workspaceVersion,
    versionData: projectsVersionData,
    releaseGraph,
    dryRun,
    firstRelease: git('tag', '--list', 'v*') === '',
    gitCommit: false,
    gitTag: false,
    stageChanges: false,
    createRelease: false,
  });
  return workspaceVersion;
}
