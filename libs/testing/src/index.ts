export { eventually, eventuallyPasses, EventuallyTimeoutError } from './eventually';
export type { EventuallyOptions } from './eventually';
export { MissingPrerequisitesError } from './prerequisites';
export { freePort } from './ports';
export { startStack } from './start-stack';
export type {
  Containerd,
  ContainerdVersion,
  NatsServer,
  PushedImage,
  Registries,
  Registry,
  RunningPod,
  Server,
  Stack,
  StackOptions,
  TestImage,
  TestLayer,
  TestPod,
} from './types';
