// What main.ts and config.ts of a service need. It loads no NestJS, so that --version, --help and
// --check-config wait for little.
export { commonKeys, dockerConfigKeys, listenKey, takeOverKeys } from './config/common-keys';
export {
  booleanKey,
  byteSizeKey,
  dirsKey,
  durationKey,
  endpointKey,
  enumKey,
  integerKey,
  key,
  listKey,
  pathKey,
  socketPathKey,
  stringKey,
} from './config/config-key';
export { defineConfig, type ConfigOf } from './config/define-config';
export { parseListenAddress } from './config/listen-address';
export { contextToken } from './service-context';
export { startService, type StartServiceOptions } from './start-service';
