import { reconnectDelayMs } from './reconnect-delay';

it.each([
  [1, 100],
  [2, 160],
  [3, 256],
  [8, 2684],
  [9, 3000],
  [1000, 3000],
])('after %p failed attempts in a row it is about %p ms', (failures, delayMs) => {
  expect(Math.round(reconnectDelayMs(failures, () => 0.5))).toBe(delayMs);
  expect(reconnectDelayMs(failures, () => 0)).toBeCloseTo(
    0.8 * reconnectDelayMs(failures, () => 0.5),
  );
  expect(reconnectDelayMs(failures, () => 1)).toBeCloseTo(
    1.2 * reconnectDelayMs(failures, () => 0.5),
  );
});
