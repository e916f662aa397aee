import {
  CancelledError,
  DeadlineExceededError,
  NotFoundError,
  RuntimeUnavailableError,
} from '@stowage/errors';
import { CriError, kubeletErrorText } from './errors';

it.each<[string, unknown, string]>([
  [
    'what the runtime answered',
    new CriError('PullImage', 'NOT_FOUND', 'no such image'),
    'rpc error: code = NotFound desc = no such image',
  ],
  [
    'a status of two words',
    new CriError('Status', 'FAILED_PRECONDITION', 'x'),
    'rpc error: code = FailedPrecondition desc = x',
  ],
  [
    'one Go spells its way',
    new CriError('Status', 'CANCELLED', 'x'),
    'rpc error: code = Canceled desc = x',
  ],
  ['PullImage with UNKNOWN', new CriError('PullImage', 'UNKNOWN', 'denied'), 'denied'],
  [
    'another call with UNKNOWN',
    new CriError('Status', 'UNKNOWN', 'x'),
    'rpc error: code = Unknown desc = x',
  ],
  [
    'a call that took too long',
    new DeadlineExceededError('Status', 5),
    'rpc error: code = DeadlineExceeded desc = context deadline exceeded',
  ],
  [
    'a call given up',
    new CancelledError('Status'),
    'rpc error: code = Canceled desc = context canceled',
  ],
  [
    'a runtime that is away',
    new RuntimeUnavailableError('unix:///x', new Date(0), 'gone'),
    'rpc error: code = Unavailable desc = container runtime at unix:///x is unavailable since 1970-01-01T00:00:00.000Z: gone',
  ],
  ['any other error', new NotFoundError('image', 'a'), 'image "a" not found'],
  ['anything else', 'text', 'text'],
])('kubelet would print %s so', (_what, error, text) => {
  expect(kubeletErrorText(error)).toBe(text);
});

it.each([
  ['UNAVAILABLE', true],
  ['DEADLINE_EXCEEDED', true],
  ['ABORTED', true],
  ['RESOURCE_EXHAUSTED', false],
  ['UNKNOWN', false],
] as const)('%s from the runtime is retryable: %p', (status, isRetryable) => {
  expect(new CriError('Status', status, 'x').retryable).toBe(isRetryable);
});
