/* Asks the service on a command socket as a user who is not root, and prints what it got. */
import { askLocalService, CommandError } from '@stowage/commands/local';

const [socketPath = ''] = process.argv.slice(2);
// Loaded as root, since others may not read the workspace.
process.setgid?.(65534);
process.setuid?.(65534);

void askLocalService(socketPath, 'image-service', { timeoutMs: 10_000 }).then(
  ({ app }) => console.log('answered by', app),
  (error: unknown) => {
    if (!(error instanceof CommandError)) throw error;
    console.log(error.code, error.reason);
  },
);
