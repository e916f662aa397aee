import { metricLabels, valuesOf } from './metric-labels';

describe('labels of metrics', () => {
  const labels = metricLabels();

  it('are found in the sources: written out, spread and shared', () => {
    expect(labels.get('stowage_gc_collections_total')).toEqual(['trigger', 'result']);
    expect(labels.get('stowage_gc_filesystem_capacity_bytes')).toEqual(['mountpoint', 'role']);
    expect(labels.get('stowage_cri_operations_total')).toEqual(['operation']);
    expect(labels.get('stowage_gc_leaked_bytes')).toBeUndefined();
  });

  it('have values that the reference names: add them in metric-labels.ts', () => {
    const missing = [...labels].flatMap(([metric, names]) =>
      names
        .filter((label) => valuesOf(metric, label) === undefined)
        .map((label) => `${metric} ${label}`),
    );
    expect(missing).toEqual([]);
  });
});
