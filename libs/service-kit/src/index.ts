export { busSettings, type BusConfig, type BusSettings } from './bus-settings';
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
export { renderConfigurationReference } from './config/config-text';
export {
  appNames,
  defineConfig,
  type ConfigDefinition,
  type ConfigKeys,
  type ConfigOf,
  type ConfigProblem,
  type DescribedConfig,
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
export {
  observeEventBus,
  observeRuntime,
  type ObservedEventBus,
  type ObservedRuntime,
} from './observe';
export { observeGivenUp } from './observe-given-up';
export {
  runService,
  type Drain,
  type RunServiceOptions,
  type ServiceContext,
  type TakeOver,
} from './run-service';
export { serviceVersion } from './version';
