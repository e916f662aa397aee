/** The part of a version that grows. */
export type Bump = 'major' | 'minor' | 'patch';

const header = /^(?<type>[a-z]+)(?:\([^)]*\))?(?<isBreak>!)?: /;
const footer = /^BREAKING[ -]CHANGE: /m;

/**
 * What commits ask for by their Conventional Commits messages, whatever they change: one version
 * holds for all of the repository. Before 1.0.0 a break asks for a minor version. Undefined where
 * no commit is of users' interest.
 */
export function bumpOf(messages: readonly string[], version: string): Bump | undefined {
  let bump: Bump | undefined;
  for (const message of messages) {
    const { type, isBreak } = header.exec(message)?.groups ?? {};
    if (type === undefined) continue;
    if (isBreak !== undefined || footer.test(message)) {
      return version.startsWith('0.') ? 'minor' : 'major';
    }
    if (type === 'feat') bump = 'minor';
    else if (type === 'fix' || type === 'perf') bump ??= 'patch';
  }
  return bump;
}
