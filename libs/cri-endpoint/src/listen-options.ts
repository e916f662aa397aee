import { activatedSockets, type ActivatedSocket } from './activated-sockets';
import type { ListenOptions } from './types';

/**
 * Where a service listens: on the socket that a supervisor passed to this process under one of
 * `names` (FileDescriptorName in the socket unit) or bound to the path, else on its own socket at
 * the path.
 */
export function activatedOr(
  options: ListenOptions,
  names: readonly string[],
  activated: readonly ActivatedSocket[] = activatedSockets(process.env, process.pid),
): ListenOptions {
  const { socketPath } = options;
  const found = activated.find((one) => names.includes(one.name) || one.socketPath === socketPath);
  if (found === undefined) return options;
  return {
    socketPath: found.socketPath ?? socketPath,
    fd: found.fd,
    onReplaced: () => options.onReplaced?.(),
  };
}
