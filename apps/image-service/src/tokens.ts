/* Injection tokens: NestJS is used without constructor type metadata, so each dependency is named. */
export const CONTEXT = Symbol('ServiceContext');
export const BUS = Symbol('EventBus');
export const RUNTIME = Symbol('ImageRuntime');
export const METRICS = Symbol('ImageMetrics');
export const LISTENERS = Symbol('ImageListeners');
export const PULL = Symbol('PullImage');
export const PULLER = Symbol('Puller');
export const JOURNAL = Symbol('PullJournal');
export const QUEUE = Symbol('PullQueue');
export const NODE = Symbol('NodeCredentials');
export const REMOVE = Symbol('RemoveImage');
export const ENSURE = Symbol('EnsureImage');
export const SHORT_NAMES = Symbol('ShortNames');
export const RECORDS = Symbol('ImagePullRecords');
export const SOCKET = Symbol('ImageSocket');
