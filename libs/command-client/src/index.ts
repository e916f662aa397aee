export { CommandError, type CommandErrorCode } from './command-error';
export type { SendOptions } from './exchange';
export { followLocalCommand } from './follow-local-command';
export { sendCommand } from './send-command';
export { askLocalService, sendLocalCommand } from './send-local-command';
