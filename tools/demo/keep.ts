/**
 * Five commands of stowctl, from what is there to what is wrong, as they are typed in the folder of
 * the checkout. `sockets` is the folder of the services' sockets, where it is not the usual one.
 */
export function commandsToTry(image: string, sockets?: string): string[] {
  // Who is root through sudo has no root shell in the other terminal.
  const program = `${process.env.SUDO_UID === undefined ? '' : 'sudo '}node dist/apps/stowctl/main.js`;
  const where = sockets === undefined ? '' : ` --sockets ${sockets}`;
  return ['status', `why ${image}`, 'plan --bytes 100Mi', 'doctor', 'top'].map(
    (command) => `${program} ${command}${where}`,
  );
}

/** Until Ctrl-C or a SIGTERM; another one then ends the process at once. */
export function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    // What waits is a promise alone, which does not keep the process.
    const alive = setInterval(() => undefined, 60_000);
    const end = () => {
      clearInterval(alive);
      process.off('SIGINT', end).off('SIGTERM', end);
      resolve();
    };
    process.on('SIGINT', end).on('SIGTERM', end);
  });
}
