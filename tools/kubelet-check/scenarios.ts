import type { Scenario } from './scenario';
import { accountTokens } from './scenarios/account-tokens';
import { api } from './scenarios/api';
import { apiPods } from './scenarios/api-pods';
import { pods } from './scenarios/pods';
import { powerCut, runtimeRestart } from './scenarios/runtime-restarts';
import { pullSecrets } from './scenarios/pull-secrets';
import { kill, restart, takeOver } from './scenarios/services';

/** In the order in which they are played. */
export const scenarios: readonly Scenario[] = [
  pods,
  api,
  takeOver,
  restart,
  kill,
  runtimeRestart,
  powerCut,
  pullSecrets,
  apiPods,
  accountTokens,
];
