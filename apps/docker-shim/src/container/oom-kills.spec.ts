import { OomKills } from './oom-kills';

describe('OomKills', () => {
  it('knows of a container whose event comes after its end was seen', async () => {
    const kills = new OomKills();
    setTimeout(() => kills.add('a'), 30);
    expect(await Promise.all([kills.has('a', 5000), kills.has('b', 0)])).toEqual([true, false]);
  });

  it('waits no longer than it is let, and forgets what is gone', async () => {
    const kills = new OomKills();
    kills.add('a');
    kills.remove('a');
    expect(await kills.has('a', 30)).toBe(false);
  });
});
