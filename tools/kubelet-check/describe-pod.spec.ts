import { describePod, messagesOf } from './describe-pod';
import type { ContainerState, ContainerStatus, Pod } from './kubelet';

const container = (
  state: ContainerState,
  more: Partial<ContainerStatus> = {},
): ContainerStatus => ({
  ...{ name: 'main', ready: false, restartCount: 0, image: 'app', imageID: '', state },
  ...more,
});
const pod = (status: Pod['status']): Pod => ({
  metadata: { name: 'pod', namespace: 'shop' },
  spec: {},
  status,
});

describe('a pod is described by', () => {
  it('its phase and the states of its containers, init containers first', () => {
    const first = container(
      { terminated: { exitCode: 0, reason: 'Completed' } },
      { name: 'first' },
    );
    const main = container({ running: {} }, { ready: true });
    const status = {
      phase: 'Running',
      initContainerStatuses: [first],
      containerStatuses: [main, container({ running: {} }, { name: 'slow' })],
    };
    expect(describePod(pod(status))).toBe(
      'Running; first: Completed 0; main: running, ready; slow: running, not ready',
    );
  });

  it('restarts with the end before', () => {
    const again = container(
      { waiting: { reason: 'CrashLoopBackOff' } },
      { restartCount: 2, lastState: { terminated: { exitCode: 7, reason: 'Error' } } },
    );
    expect(describePod(pod({ phase: 'Running', containerStatuses: [again] }))).toBe(
      'Running; main: CrashLoopBackOff, 2 restarts, before Error 7',
    );
  });

  it('a reason of its own, and what is not known yet', () => {
    expect(describePod(pod({ phase: 'Failed', reason: 'Evicted' }))).toBe('Failed Evicted');
    expect(describePod(pod(undefined))).toBe('no phase');
    expect(describePod(pod({ containerStatuses: [container({})] }))).toBe(
      'no phase; main: waiting',
    );
  });
});

it('messages are named after what they belong to', () => {
  const status = {
    message: 'of the pod',
    containerStatuses: [
      container(
        { waiting: { message: 'now' } },
        { lastState: { terminated: { exitCode: 1, message: 'then' } } },
      ),
      container({ terminated: { exitCode: 1, message: 'at the end' } }, { name: 'other' }),
    ],
  };
  expect(messagesOf(pod(status))).toEqual({
    message: 'of the pod',
    'main message': 'now',
    'main message before': 'then',
    'other message': 'at the end',
  });
});
