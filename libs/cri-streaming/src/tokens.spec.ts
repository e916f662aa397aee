import { Tokens } from './tokens';

describe('Tokens', () => {
  let now = 0;
  const tokens = (max = 1000) => new Tokens<string>({ ttlMs: 60_000, max, now: () => now });
  beforeEach(() => (now = 0));

  it('gives the thing once, for 128 random bits that fit into a URL', () => {
    const some = tokens();
    const token = some.add('a');
    expect(token).toMatch(/^[\w-]{22}$/);
    expect(Buffer.from(token, 'base64url')).toHaveLength(16);
    expect(some.add('b')).not.toBe(token);
    expect(some.has(token)).toBe(true);
    expect(some.take(token)).toBe('a');
    expect(some.take(token)).toBeUndefined();
    expect(some.has(token)).toBe(false);
    expect(some.take('unknown')).toBeUndefined();
  });

  it('forgets it when its time is over', () => {
    const some = tokens();
    const [first, second] = [some.add('a'), some.add('b')];
    now = 59_999;
    expect(some.take(first)).toBe('a');
    now = 60_000;
    expect(some.take(second)).toBeUndefined();
    expect(some.size).toBe(0);
  });

  it('has a limit, in which used and old ones have no part', () => {
    const some = tokens(2);
    const first = some.add('a');
    some.add('b');
    const add = () => some.add('c');
    expect(add).toThrow('list of streaming URLs that wait to be used is full: limit 2');
    some.take(first);
    add();
    expect(add).toThrow(expect.objectContaining({ grpcStatus: 'RESOURCE_EXHAUSTED' }) as Error);
    now = 60_000;
    add();
    expect(some.size).toBe(1);
  });
});
