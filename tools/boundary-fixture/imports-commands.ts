import { commandApps } from '@stowage/commands';

export const value = commandApps;
