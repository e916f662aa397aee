import type { Scenario } from './scenario';
import { api } from './scenarios/api';
import { credentials } from './scenarios/credentials';
import { pods } from './scenarios/pods';
import { powerCut, runtimeRestart } from './scenarios/runtime-restarts';
import { kill, restart, takeOver } from './scenarios/services';

/** In the order in which they are played. */
export const scenarios: readonly Scenario[] = [
  pods,
  api,
  credentials,
  takeOver,
  restart,
  kill,
  runtimeRestart,
  powerCut,
];
