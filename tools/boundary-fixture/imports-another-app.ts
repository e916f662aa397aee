import { config } from '../../gc-worker/src/config';

export const other = config;
