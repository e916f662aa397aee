import { sendCommand } from '@stowage/commands/client';

export const value = sendCommand;
