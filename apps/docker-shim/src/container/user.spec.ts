import { SupplementalGroupsPolicy } from '@stowage/cri-proto';
import { processUser, type Accounts, type AskedUser } from './user';

const { Merge, Strict } = SupplementalGroupsPolicy;
const accounts: Accounts = {
  passwd: 'root:x:0:0::/root:/bin/sh\nweb:x:1000:2000::/:/bin/sh\nbroken\n',
  group: 'root:x:0:\nstaff:x:50:web,other\naudio:x:63:other\nextra:x:77:web\nbad:x:no:web\n',
};
interface Row {
  readonly user?: number;
  readonly name?: string;
  readonly group?: number;
  readonly groups?: readonly number[];
  readonly policy?: SupplementalGroupsPolicy;
  readonly image?: string;
}
const asked = ({ user, name = '', group, groups = [], policy = Merge }: Row): AskedUser => ({
  runAsUser: user === undefined ? undefined : { value: BigInt(user) },
  runAsGroup: group === undefined ? undefined : { value: BigInt(group) },
  runAsUsername: name,
  supplementalGroups: groups.map(BigInt),
  supplementalGroupsPolicy: policy,
});
const of = (row: Row, read = () => Promise.resolve(accounts)) =>
  processUser(asked(row), row.image ?? '', read);

describe('processUser', () => {
  it('is the image’s own where nothing is said', async () => {
    const read = () => Promise.reject(new Error('not to be read'));
    expect(await processUser(undefined, 'web', read)).toEqual({ GroupAdd: [] });
    expect(await of({}, read)).toEqual({ GroupAdd: [] });
  });

  it.each<[Row, string | undefined, string[]]>([
    [{ user: 1000 }, '1000', []],
    [{ user: 0 }, '0', []],
    [{ name: 'web' }, 'web', []],
    [{ groups: [5, 6] }, undefined, ['5', '6']],
    [{ user: 1000, groups: [1234] }, '1000', ['1234']],
    [{ user: 1000, group: 7, groups: [1234, 77] }, '1000:7', ['50', '77', '1234']],
    [{ name: 'web', group: 7 }, 'web:7', ['50', '77']],
    [{ user: 42, group: 7, groups: [8] }, '42:7', ['8']],
    [{ user: 1000, policy: Strict }, '1000:2000', []],
    [{ user: 1000, policy: Strict, groups: [9] }, '1000:2000', ['9']],
    [{ name: 'web', policy: Strict }, 'web:2000', []],
    [{ user: 42, policy: Strict }, '42:0', []],
    [{ user: 1000, group: 7, policy: Strict, groups: [9] }, '1000:7', ['9']],
    [{ policy: Strict, groups: [9] }, '0:0', ['9']],
    [{ policy: Strict, image: 'web' }, 'web:2000', []],
    [{ policy: Strict, image: 'web:5' }, 'web:5', []],
  ])('%j runs as %s with %j', async (row, User, GroupAdd) => {
    expect(await of(row)).toEqual(User === undefined ? { GroupAdd } : { User, GroupAdd });
  });

  it('an image whose files cannot be read: Merge leaves it to the engine, Strict is refused', async () => {
    const fail = () => Promise.reject(new Error('no tar'));
    expect(await of({ user: 1000, group: 7, groups: [8] }, fail)).toEqual({
      User: '1000:7',
      GroupAdd: ['8'],
    });
    await expect(of({ user: 1000, policy: Strict }, fail)).rejects.toMatchObject({
      grpcStatus: 'FAILED_PRECONDITION',
    });
    // Nothing of the image is needed.
    expect(await of({ user: 1000, group: 7, policy: Strict }, fail)).toMatchObject({
      User: '1000:7',
    });
  });

  it.each<[Row, string]>([
    [{ group: 5 }, 'run_as_group: "5" is not allowed; allowed: none without a user'],
    [
      { user: 1, name: 'web' },
      'run_as_username: "web" is not allowed; allowed: none beside run_as_user',
    ],
    [{ user: -1 }, 'run_as_user: -1 is not allowed; allowed: 0 to 2147483647'],
    [
      { groups: [2 ** 31] },
      'supplemental_groups: 2147483648 is not allowed; allowed: 0 to 2147483647',
    ],
    [
      { policy: JSON.parse('5') as SupplementalGroupsPolicy },
      'supplemental_groups_policy: 5 is not allowed; allowed: Merge, Strict',
    ],
  ])('refuses %j', async (row, message) => {
    await expect(of(row)).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT', message });
  });
});
