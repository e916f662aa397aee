import { SupplementalGroupsPolicy, type Int64Value } from '@stowage/cri-proto';
import { FailedPreconditionError, InvalidArgumentError } from '@stowage/errors';

/** What the security contexts of sandboxes and of containers say about the user. */
export interface AskedUser {
  readonly runAsUser?: Int64Value | undefined;
  readonly runAsGroup?: Int64Value | undefined;
  /** Sandboxes have none. */
  readonly runAsUsername?: string;
  readonly supplementalGroups: readonly bigint[];
  readonly supplementalGroupsPolicy: SupplementalGroupsPolicy;
}

/** The files of an image that say who is who; empty where it has none. */
export interface Accounts {
  /** Content of /etc/passwd. */
  readonly passwd: string;
  /** Content of /etc/group. */
  readonly group: string;
}

/** As the engine has them. */
export interface ProcessUser {
  /** Absent for the image's own. */
  readonly User?: string;
  readonly GroupAdd: readonly string[];
}

const maxId = 2n ** 31n - 1n;

/**
 * The user and the groups of a container's processes. The engine adds the groups of the image's
 * /etc/group by itself, and only then, when the user has no explicit group.
 *
 * @param imageUser the image's own user, `user[:group]`; empty for root.
 * @param accounts reads the image's files; called where they decide something.
 * @throws {InvalidArgumentError}
 * @throws {FailedPreconditionError} when the policy is Strict and the files cannot be read.
 */
export async function processUser(
  asked: AskedUser | undefined,
  imageUser: string,
  accounts: () => Promise<Accounts>,
): Promise<ProcessUser> {
  if (asked === undefined) return { GroupAdd: [] };
  const user = askedUser(asked);
  const group = asked.runAsGroup && checkedId('run_as_group', asked.runAsGroup.value);
  if (group !== undefined && user === undefined) {
    throw new InvalidArgumentError('run_as_group', group, 'none without a user');
  }
  const listed = asked.supplementalGroups.map((id) => checkedId('supplemental_groups', id));
  switch (asked.supplementalGroupsPolicy) {
    case SupplementalGroupsPolicy.Merge: {
      if (user === undefined) return { GroupAdd: listed };
      if (group === undefined) return { User: user, GroupAdd: listed };
      // Where they cannot be read, the engine's own way: an explicit group is the only one.
      const known = await accounts().catch(() => undefined);
      const groups = known === undefined ? [] : groupsOf(user, known);
      return { User: `${user}:${group}`, GroupAdd: [...new Set([...groups, ...listed])] };
    }
    case SupplementalGroupsPolicy.Strict: {
      if (group !== undefined) return { User: `${user}:${group}`, GroupAdd: listed };
      const own = user ?? (imageUser === '' ? '0' : imageUser);
      if (own.includes(':')) return { User: own, GroupAdd: listed };
      return { User: `${own}:${await primaryGroup(own, accounts)}`, GroupAdd: listed };
    }
    default:
      throw new InvalidArgumentError(
        'supplemental_groups_policy',
        asked.supplementalGroupsPolicy,
        'Merge, Strict',
      );
  }
}

function askedUser({ runAsUser, runAsUsername = '' }: AskedUser): string | undefined {
  if (runAsUser === undefined) return runAsUsername === '' ? undefined : runAsUsername;
  if (runAsUsername !== '') {
    throw new InvalidArgumentError('run_as_username', runAsUsername, 'none beside run_as_user');
  }
  return checkedId('run_as_user', runAsUser.value);
}

function checkedId(field: string, id: bigint): string {
  if (id < 0n || id > maxId) throw new InvalidArgumentError(field, Number(id), `0 to ${maxId}`);
  return String(id);
}

async function primaryGroup(user: string, accounts: () => Promise<Accounts>): Promise<string> {
  let passwd: string;
  try {
    ({ passwd } = await accounts());
  } catch (cause) {
    throw new FailedPreconditionError(
      "supplemental_groups_policy Strict needs the image's /etc/passwd, which cannot be read",
      { cause },
    );
  }
  return accountOf(user, passwd)?.group ?? '0';
}

/** Ids of the groups that list the user. */
function groupsOf(user: string, { passwd, group }: Accounts): string[] {
  const name = accountOf(user, passwd)?.name ?? user;
  return group
    .split('\n')
    .map((line) => line.trim().split(':'))
    .filter(([, , id = '', members = '']) => isId(id) && members.split(',').includes(name))
    .map(([, , id = '']) => id);
}

/** The first account of this name or id, as the engine looks it up. */
function accountOf(user: string, passwd: string): { name: string; group: string } | undefined {
  for (const line of passwd.split('\n')) {
    const [name = '', , id = '', group = ''] = line.trim().split(':');
    if ((name === user || id === user) && isId(group)) return { name, group };
  }
  return undefined;
}

const isId = (text: string): boolean => /^\d{1,10}$/.test(text);
