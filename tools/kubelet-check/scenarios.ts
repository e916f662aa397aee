import type { Scenario } from './scenario';
import { pods } from './scenarios/pods';

/** In the order in which they are played. */
export const scenarios: readonly Scenario[] = [pods];
