import { Counter } from 'prom-client';

export const metric = Counter;
