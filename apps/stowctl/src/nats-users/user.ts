import { UsageError } from '../failures';
import { consumerRole, operatorRole, serviceRole, type Role } from './roles';

export type UserKind = 'node' | 'operator' | 'consumer';

/** Somebody who logs in to NATS: the services of a node, an operator, a consumer. */
export interface NatsUser {
  readonly kind: UserKind;
  /** Node name, or name of the operator or consumer. */
  readonly name: string;
}

const roleOf: Readonly<Record<UserKind, (name: string) => Role>> = {
  node: serviceRole,
  operator: operatorRole,
  consumer: consumerRole,
};

/** The role of a user; a name that no such user can have is a UsageError. */
export function userRole({ kind, name }: NatsUser): Role {
  try {
    return roleOf[kind](name);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** What a user is called on the command line: `worker-1`, `operator:sre`, `consumer:capacity`. */
export const userText = ({ kind, name }: NatsUser): string =>
  kind === 'node' ? name : `${kind}:${name}`;
