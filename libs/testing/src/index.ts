export { crioContainersDir, dockerDirs } from './cleanup/manifest';
export { crioHelper } from './crio';
export { withLock } from './cleanup/lock';
export { copyWithVersion } from './copy-with-version';
export { dockerShimOn } from './docker-shim';
export { eventually, eventuallyPasses, EventuallyTimeoutError } from './eventually';
export type { EventuallyOptions } from './eventually';
export { answerJson, FakeEngine } from './fake-engine';
export type { FakeEngineAnswer, FakeEngineRequest } from './fake-engine';
export { MissingPrerequisitesError, requirePrerequisites } from './prerequisites';
export { nodeProgram, nodeProgramsOfTests } from './node-program';
export { TestNatsServer, type NatsConfiguration } from './nats-server';
export { freePort } from './ports';
export { TestPrometheus, type PrometheusSeries } from './prometheus';
export { randomFrom } from './random';
export { ServiceFixture, type ServiceFixtureOptions } from './service-fixture';
export { ServerProcess } from './server-process';
export { startStack } from './start-stack';
export { testOn, testRuntime } from './test-runtime';
export type {
  Containerd,
  Crio,
  CrioOptions,
  DockerEngine,
  DockerOptions,
  NatsServer,
  PushedImage,
  Registries,
  Registry,
  RunningPod,
  Runtime,
  RuntimeVersion,
  Server,
  Stack,
  StackOptions,
  TestImage,
  TestLayer,
  TestPod,
} from './types';
export { runApp, spawnApp } from './spawn-app';
export type { AppExit, AppProcess, SpawnAppOptions } from './spawn-app';
export { subscribeEvents } from './subscribe-events';
export type { EventCollection, ReceivedEvent } from './subscribe-events';
export { Terminal, type TerminalModes, type TerminalOptions } from './terminal';
export { startTraceCollector } from './trace-collector';
export type { CollectedSpan, TraceCollector } from './trace-collector';
