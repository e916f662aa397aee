import { config } from '../../../apps/gc-worker/src/config';

export const app = config;
