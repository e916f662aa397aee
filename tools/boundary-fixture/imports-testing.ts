import { startStack } from '@stowage/testing';

export const start = startStack;
