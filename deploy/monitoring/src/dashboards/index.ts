import type { DashboardDefinition } from '../dashboard';
import { dockerShim } from './docker-shim';
import { events } from './events';
import { fleet } from './fleet';
import { gateway } from './gateway';
import { node } from './node';
import { pulls } from './pulls';

/** Every dashboard. */
export const dashboards: readonly DashboardDefinition[] = [
  fleet,
  node,
  pulls,
  gateway,
  events,
  dockerShim,
];
