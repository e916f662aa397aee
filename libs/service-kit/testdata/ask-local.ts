/* Asks the service on a command socket, and prints what it got. */
import { askLocalService, CommandError } from '@stowage/commands/local';

const [socketPath = ''] = process.argv.slice(2);

void askLocalService(socketPath, 'image-service', { timeoutMs: 10_000 }).then(
  ({ app }) => console.log('answered by', app),
  (error: unknown) => {
    if (!(error instanceof CommandError)) throw error;
    console.log(error.code, error.reason);
  },
);
