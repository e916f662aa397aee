import type { Image } from '@stowage/cri-proto';
import { ImagePullRecords } from './image-pull-records';
import { keepPullRecords } from './keep-pull-records';
import { MemoryRecordStore } from '../testing/memory-record-store';
import { verificationPolicy } from './verification-policy';

afterEach(() => {
  jest.useRealTimers();
});

it('records that could not be brought up to date are tried again within seconds', async () => {
  jest.useFakeTimers();
  const over = new AbortController();
  const log: string[] = [];
  let asked = 0;
  const store = new MemoryRecordStore();
  const listImages = (): Promise<{ images: Image[] }> => {
    asked += 1;
    return asked === 1 ? Promise.reject(new Error('busy')) : Promise.resolve({ images: [] });
  };
  keepPullRecords(
    new ImagePullRecords(store, verificationPolicy('AlwaysVerify', []), {}),
    {
      availability: () => ({ available: true, since: new Date(0), connections: 1 }),
      listImages,
      onAvailability: () => () => undefined,
    },
    {
      pruneIntervalMs: 300_000,
      mayRecover: () => true,
      log: { warn: (_fields: object, message: string) => log.push(message) } as never,
      signal: over.signal,
    },
  );
  await jest.advanceTimersByTimeAsync(0);
  expect([asked, log]).toEqual([1, ['pull records could not be brought up to date']]);
  await jest.advanceTimersByTimeAsync(5000);
  expect(asked).toBeGreaterThan(1);
  const answered = asked;
  await jest.advanceTimersByTimeAsync(60_000);
  expect(asked).toBe(answered);
  over.abort();
});
