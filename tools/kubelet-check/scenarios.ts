import type { Scenario } from './scenario';
import { pods } from './scenarios/pods';
import { powerCut, runtimeRestart } from './scenarios/runtime-restarts';
import { kill, restart, takeOver } from './scenarios/services';

/** In the order in which they are played. */
export const scenarios: readonly Scenario[] = [
  pods,
  takeOver,
  restart,
  kill,
  runtimeRestart,
  powerCut,
];
