import { streamConfig, streamDifferences } from './stream';

describe('the stream', () => {
  it('is kept on files, limited by age and size, with two minutes of duplicate detection', () => {
    expect(streamConfig({})).toEqual({
      name: 'STOWAGE_EVENTS',
      description: 'Events of the Stowage services on the nodes',
      subjects: ['stowage.event.>'],
      storage: 'file',
      retention: 'limits',
      discard: 'old',
      max_age: 7 * 24 * 3600 * 1e9,
      max_bytes: 1024 ** 3,
      duplicate_window: 120 * 1e9,
      num_replicas: 1,
    });
  });

  it('has no duplicate window longer than its age', () => {
    expect(streamConfig({ maxAgeMs: 1000 })).toMatchObject({ max_age: 1e9, duplicate_window: 1e9 });
  });

  it('differs by setting', () => {
    const wanted = streamConfig({});
    expect(streamDifferences(wanted, { ...wanted, name: 'x', description: 'y' })).toEqual([]);
    expect(streamDifferences(wanted, { ...wanted, max_bytes: -1, subjects: ['a'] })).toEqual([
      'subjects is ["a"], configured is ["stowage.event.>"]',
      'max_bytes is -1, configured is 1073741824',
    ]);
  });
});
