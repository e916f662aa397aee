// What config.ts of a service needs. It loads no NestJS, so that --help and --check-config wait for
// little.
export { commonKeys, dockerConfigKeys, listenKey, takeOverKeys } from './common-keys';
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
} from './config-key';
export { defineConfig, type ConfigOf } from './define-config';
export { parseListenAddress } from './listen-address';
export { contextToken } from '../service-context';
