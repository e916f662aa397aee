// What needs no NATS client, and so does not load one.
export { CommandError, type CommandErrorCode } from './command-error';
export type { SendOptions } from './exchange';
export { followLocalCommand } from './follow-local-command';
export { askLocalService, sendLocalCommand } from './send-local-command';
