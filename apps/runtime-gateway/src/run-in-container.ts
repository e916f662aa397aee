import { CommandExitError, CommandTimeoutError } from '@stowage/cri-client';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { DeadlineExceededError } from '@stowage/errors';
import * as z from 'zod';

/** Bytes of each output that are answered; a reply of both has to fit into a NATS message, escaped. */
export const maxOutputBytes = 64 * 1024;

/** Input of the NATS command `exec`. */
export const runInContainerInput = z.strictObject({
  containerId: z.string().min(1).max(256).describe('Id of a running container'),
  command: z
    .array(z.string().max(32_768))
    .min(1)
    .max(1024)
    .describe('Program and arguments; no shell is involved'),
  timeoutSeconds: z
    .int()
    .min(1)
    .max(3600)
    .default(10)
    .describe('The runtime ends the command after that'),
});

/** Input of {@link runInContainer}. */
export type RunInContainer = z.output<typeof runInContainerInput>;

/**
 * Kubelet's RunInContainer: runs a command in a container and waits for it. An exit code other than 0 is an answer, not an
 * error. Rejects with DeadlineExceededError when the time is over, and with the runtime's errors.
 */
export async function runInContainer(
  runtime: Pick<RuntimeServiceClient, 'execSync'>,
  { containerId, command, timeoutSeconds }: RunInContainer,
  options: { signal: AbortSignal },
) {
  const request = { containerId, cmd: command, timeout: BigInt(timeoutSeconds) };
  try {
    return outcome({ ...(await runtime.execSync(request, options)), exitCode: 0 });
  } catch (error) {
    const isTimeout = error instanceof CommandTimeoutError || saysTimeout(error);
    if (error instanceof CommandExitError && !isTimeout) return outcome(error);
    if (isTimeout) {
      // Its message holds the command line, which is no business of a log.
      throw new DeadlineExceededError(`command in ${containerId}`, timeoutSeconds * 1000);
    }
    throw error;
  }
}

/**
 * CRI-O answers a command that ran out of time with OK, this code and this text, so that kubelet counts a probe as failed. No
 * command can end with a negative code by itself.
 */
function saysTimeout(error: unknown): boolean {
  if (!(error instanceof CommandExitError) || error.exitCode !== -1) return false;
  return new TextDecoder().decode(error.stderr).trim() === 'command timed out';
}

interface Outcome {
  readonly exitCode: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

function outcome({ exitCode, stdout, stderr }: Outcome) {
  return {
    exitCode,
    stdout: text(stdout),
    stderr: text(stderr),
    truncated: Math.max(stdout.length, stderr.length) > maxOutputBytes,
  };
}

/** The beginning of an output as text; a character that the bound cuts is left out. */
function text(bytes: Uint8Array): string {
  const isCut = bytes.length > maxOutputBytes;
  return new TextDecoder().decode(bytes.subarray(0, maxOutputBytes), { stream: isCut });
}
