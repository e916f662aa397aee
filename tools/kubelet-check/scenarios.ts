import type { Scenario } from './scenario';
import { accountTokens } from './scenarios/account-tokens';
import { api } from './scenarios/api';
import { apiPods } from './scenarios/api-pods';
import { apiStreams } from './scenarios/api-streams';
import { changes } from './scenarios/changes';
import { collection } from './scenarios/collection';
import { credentials } from './scenarios/credentials';
import { eviction } from './scenarios/eviction';
import { logRotation } from './scenarios/log-rotation';
import { nodeStatus } from './scenarios/node-status';
import { eventedPleg, pods } from './scenarios/pods';
import { engineRestart, powerCut, runtimeRestart } from './scenarios/runtime-restarts';
import { pullSecrets } from './scenarios/pull-secrets';
import { kill, restart, takeOver } from './scenarios/services';
import { soak } from './scenarios/soak';

/** In the order in which they are played. */
export const scenarios: readonly Scenario[] = [
  pods,
  eventedPleg,
  api,
  logRotation,
  credentials,
  collection,
  takeOver,
  restart,
  kill,
  runtimeRestart,
  engineRestart,
  powerCut,
  pullSecrets,
  apiPods,
  changes,
  accountTokens,
  nodeStatus,
  apiStreams,
  soak,
  eviction,
];
