import { eventNames } from '@stowage/events';

export const names = eventNames;
