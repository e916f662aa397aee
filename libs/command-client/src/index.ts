export { CommandError, type CommandErrorCode } from './command-error';
export { sendCommand, type SendOptions } from './send-command';
