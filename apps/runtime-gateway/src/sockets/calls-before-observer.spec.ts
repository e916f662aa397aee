import type { ObservedCall } from '@stowage/cri-endpoint';
import { CallsBeforeObserver } from './calls-before-observer';

const path = (verb: string) => `/runtime.v1.RuntimeService/${verb}`;

const callOf = (method: string): ObservedCall => ({
  method,
  outcome: 'completed',
  request: Buffer.from('request'),
  response: Buffer.from('response'),
  grpcStatus: 0,
  startedAt: 0,
  durationMs: 1,
});

/** What an observer is handed that comes late. */
function handed(before: CallsBeforeObserver) {
  const inFlight = new Map<string, number>();
  const said: string[] = [];
  const ended: ObservedCall[] = [];
  const count = (method: string, more: number) => {
    inFlight.set(method, (inFlight.get(method) ?? 0) + more);
  };
  before.handTo({
    observes: () => true,
    started: (method) => {
      said.push(`started ${method.split('/')[2]}`);
      count(method, 1);
    },
    requested: (method) => said.push(`requested ${method.split('/')[2]}`),
    ended: (call) => {
      said.push(`ended ${call.method.split('/')[2]}`);
      ended.push(call);
      count(call.method, -1);
    },
  });
  return { inFlight, said, ended };
}

it('an observer that comes late is handed all calls in order, and those to come', () => {
  const before = new CallsBeforeObserver();
  before.started(path('CreateContainer'));
  before.requested(path('CreateContainer'), Buffer.alloc(1));
  before.started(path('StopContainer'));
  before.ended(callOf(path('CreateContainer')));
  const { said } = handed(before);
  before.ended(callOf(path('StopContainer')));
  expect(said).toEqual([
    'started CreateContainer',
    'requested CreateContainer',
    'started StopContainer',
    'ended CreateContainer',
    'ended StopContainer',
  ]);
});

it('of more calls than are kept none stays in flight for ever', () => {
  const before = new CallsBeforeObserver();
  before.started(path('StopPodSandbox'));
  for (let i = 0; i < 6000; i++) {
    before.started(path('StopContainer'));
    before.ended(callOf(path('StopContainer')));
  }
  before.ended(callOf(path('StopPodSandbox')));
  const { inFlight, ended } = handed(before);
  expect([...inFlight]).toEqual([
    [path('StopPodSandbox'), 0],
    [path('StopContainer'), 0],
  ]);
  expect(ended.length).toBeLessThanOrEqual(10_000);
});
