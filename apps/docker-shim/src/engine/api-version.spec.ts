import { compareApi, hasFeature, negotiateApi, spokenApi } from './api-version';

describe('negotiateApi', () => {
  it.each([
    ['20.10', '1.12', '1.41', '1.41'],
    ['26.1', '1.24', '1.45', '1.45'],
    ['28.5', '1.24', '1.51', '1.51'],
    ['29.3', '1.40', '1.54', '1.54'],
    ['29.6', '1.40', '1.55', '1.54'],
    ['one that begins where the shim ends', '1.54', '1.60', '1.54'],
  ])('speaks with Docker Engine %s (%s to %s) version %s', (_engine, lowest, highest, api) => {
    expect(negotiateApi({ lowest, highest })).toEqual({ api });
  });

  it.each([
    ['1.12', '1.30', 'DockerApiTooOld'],
    ['1.12', '1.40', 'DockerApiTooOld'],
    ['1.60', '1.70', 'DockerApiTooNew'],
    ['1.55', '1.55', 'DockerApiTooNew'],
  ])('refuses %s to %s as %s, with all four numbers', (lowest, highest, reason) => {
    const refused = negotiateApi({ lowest, highest });
    expect(refused).toMatchObject({ reason });
    const { message } = refused as { message: string };
    for (const number of [lowest, highest, spokenApi.lowest, spokenApi.highest]) {
      expect(message).toContain(number);
    }
    if (reason === 'DockerApiTooNew') expect(message).toContain('min-api-version');
  });
});

it('compares versions by number', () => {
  expect(compareApi('1.9', '1.41')).toBeLessThan(0);
  expect(compareApi('2.0', '1.99')).toBeGreaterThan(0);
  expect(compareApi('1.41', '1.41')).toBe(0);
});

it('knows features by the version of the API', () => {
  expect(['1.41', '1.42'].map((api) => hasFeature(api, 'diskUsageByType'))).toEqual([false, true]);
  expect(['1.51', '1.52'].map((api) => hasFeature(api, 'diskUsageTotals'))).toEqual([false, true]);
});
