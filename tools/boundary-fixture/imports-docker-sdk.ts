import type { SystemInfo } from '@docker/node-sdk';

export const fixture: SystemInfo = {};
