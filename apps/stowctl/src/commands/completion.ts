import type { Call } from '../command-line/define';
import { completionScript, shells } from '../command-line/completion';

/** `stowctl completion SHELL`. */
export function completion({ args, out }: Call): Promise<number> {
  const shell = shells.find((known) => known === args[0]) ?? 'bash';
  out.text(completionScript(shell));
  return Promise.resolve(0);
}
