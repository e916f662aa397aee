import { createHash } from 'node:crypto';
import type { NodeCredentials, PullAuth } from './credentials';
/* placeholder until registry-auth is there */
export function nodeCredentials(_dirs: readonly string[], _log: unknown): NodeCredentials {
  return { forRepository: () => Promise.resolve([]) };
}
export function credentialHash(auth: PullAuth): string {
  return createHash('sha256').update(JSON.stringify(auth)).digest('hex');
}
