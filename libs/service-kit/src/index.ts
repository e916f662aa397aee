export { handledCommands, Handles } from './commands/handles';
export { NatsCommandServer, type NatsCommandServerOptions } from './commands/nats-command-server';
export type {
  CommandCall,
  CommandConnection,
  CommandConnections,
  CommandMessage,
  CommandObservation,
  CommandSubscription,
} from './commands/types';
export { configFiles } from './config/config-files';
export { ConfigReload, type ReadAgain, type ReloadCause } from './config/config-reload';
export { commonKeys, listenKey, takeOverKeys } from './config/common-keys';
export {
  booleanKey,
  byteSizeKey,
  durationKey,
  endpointKey,
  enumKey,
  integerKey,
  key,
  listenAddressKey,
  listKey,
  pathKey,
  socketPathKey,
  stringKey,
  type ConfigKey,
  type DefaultContext,
  type KeyOptions,
  type KubeletKey,
} from './config/config-key';
export { describeKeys, type DescribedKey } from './config/config-text';
export {
  defineConfig,
  type ConfigDefinition,
  type ConfigKeys,
  type ConfigOf,
  type ConfigProblem,
  type DescribedConfig,
  type SwitchOption,
} from './config/define-config';
export { formatByteSize, parseByteSize } from './config/byte-size';
export { parseListenAddress, parseSocketPath, type ListenAddress } from './config/listen-address';
export {
  exitCodeConfig,
  exitCodeUsage,
  listConfigFolder,
  loadConfig,
  readConfigFile,
  type LoadInput,
  type LoadOutcome,
} from './config/load-config';
export {
  Health,
  renderReadiness,
  type ComponentHealth,
  type HealthRegistry,
  type HealthReport,
  type HealthState,
  type Readiness,
} from './health';
export {
  createLogger,
  isSecretKey,
  redact,
  type LogDestination,
  type LogFields,
  type Logger,
  type LogLevel,
} from './log';
export { MethodHistogram, type MethodHistogramOptions } from './method-histogram';
export { runService, type RunServiceOptions } from './run-service';
export { RuntimeOutage, type RuntimeOutageOptions } from './runtime-outage';
export { contextToken, type ServiceContext, type TakeOver } from './service-context';
export type { StatusSection, StatusSource } from './status-page/types';
export { serviceVersion } from './version';
export {
  IMAGE_RUNTIME,
  imageRuntimeProvider,
  RUNTIME,
  runtimeProvider,
  type RuntimeConfig,
  type RuntimeProviderOptions,
} from './wiring/cri-clients';
export { BUS, checkBeforeTakeOver, eventBusProvider } from './wiring/event-bus';
export { observeRuntime } from './wiring/observe';
export { observeGivenUp } from './wiring/observe-given-up';
export { provider, type ProviderOptions } from './wiring/provider';
export { recentEvents } from './wiring/recent-events';
export { statusSections } from './wiring/status-sections';
export { Injects } from './wiring/injects';
export { token, type Token } from './wiring/token';
