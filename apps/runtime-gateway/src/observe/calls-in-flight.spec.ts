import { CallsInFlight } from './calls-in-flight';

type Verb = 'Stop' | 'Run';

test('is settled at once when no call of these verbs is in flight', async () => {
  const calls = new CallsInFlight<Verb>();
  calls.started('Run');
  await expect(calls.settled(['Stop'], 3_600_000)).resolves.toBe(true);
});

test('is settled when the last of them has ended', async () => {
  const calls = new CallsInFlight<Verb>();
  calls.started('Stop');
  calls.started('Stop');
  let settled: boolean | undefined;
  const waiting = calls.settled(['Stop'], 3_600_000).then((value) => (settled = value));
  calls.ended('Stop');
  await Promise.resolve();
  expect(settled).toBeUndefined();
  calls.ended('Stop');
  await waiting;
  expect(settled).toBe(true);
});

test('is not settled after the limit, and not when it is given up', async () => {
  const calls = new CallsInFlight<Verb>();
  calls.started('Stop');
  await expect(calls.settled(['Stop'], 1)).resolves.toBe(false);
  const waiting = calls.settled(['Stop'], 3_600_000);
  calls.giveUp();
  await expect(waiting).resolves.toBe(false);
  await expect(calls.settled(['Stop'], 3_600_000)).resolves.toBe(false);
  await expect(calls.settled(['Run'], 3_600_000)).resolves.toBe(true);
});

test('an end without a start does not count below none', async () => {
  const calls = new CallsInFlight<Verb>();
  calls.ended('Stop');
  calls.started('Stop');
  await expect(calls.settled(['Stop'], 1)).resolves.toBe(false);
});
