import { parseBitRate } from './bit-rate';

it.each<[string, number | undefined]>([
  ['10M', 10_000_000],
  ['1k', 1000],
  ['1P', 1e15],
  ['1Ki', 1024],
  ['1.5Gi', 1_610_612_736],
  ['.5M', 500_000],
  ['5.M', 5_000_000],
  ['+2M', 2_000_000],
  ['1e6', 1_000_000],
  ['1.2E+4', 12_000],
  ['2000000e-3', 2000],
  ['1000001m', 1001], // rounded up
  ['1.0000001M', 1_000_001],
  ['4.35M', 4_350_000],
  ['0', undefined],
  ['999', undefined],
  ['2P', undefined],
  ['-10M', undefined],
  ['10Mbit', undefined],
  ['10 M', undefined],
  ['1K', undefined],
  ['1e6M', undefined],
  ['1e999999999', undefined],
  ['9'.repeat(100), undefined],
  ['.', undefined],
  ['', undefined],
])('the rate %j is %j bits per second', (text, rate) => {
  expect(parseBitRate(text)).toBe(rate);
});
