/** What one login may do, and the account that it is in. */
export interface Role {
  readonly account: string;
  readonly user: string;
  /** Public key of its nkey; absent: it logs in with user and password. */
  readonly nkey?: string;
}
/** The services of one node. Throws when that is no node name. */
export function serviceRole(node: string): Role;
/** A service of the platform that reads events. Throws when that is no name of one. */
export function consumerRole(name: string): Role;
/** People and tools that send commands. Throws when that is no name of one. */
export function operatorRole(name: string): Role;
/** The `accounts` block of a server configuration. */
export function serverConfig(roles: readonly Role[]): string;
