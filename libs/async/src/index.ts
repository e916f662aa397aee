export { inTime } from './in-time';
export { KeyedQueue } from './keyed-queue';
export { Loop, type LoopOptions } from './loop';
export { Mutex } from './mutex';
export { pause } from './pause';
export { TokenBucket } from './token-bucket';
export { withTimeout, type TimeoutOptions } from './with-timeout';
