/**
 * Whom mounted pull secrets serve without being named: pods of their namespace, everybody on the
 * node, nobody.
 */
export const pullSecretsScopes = ['namespace', 'node', 'named'] as const;

/** One of {@link pullSecretsScopes}. */
export type PullSecretsScope = (typeof pullSecretsScopes)[number];
