import type { CheckedInput, CommandAnswer, runtimeGateway } from '@stowage/commands';
import { CommandExitError, CommandTimeoutError } from '@stowage/cri-client';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { DeadlineExceededError } from '@stowage/errors';

/**
 * Bytes of each output that are answered; a reply of both has to fit into a NATS message, escaped.
 */
export const maxOutputBytes = 64 * 1024;

/**
 * Kubelet's RunInContainer: runs a command in a container and waits for it. An exit code other than
 * 0 is an answer, not an error. Rejects with DeadlineExceededError when the time is over, and with
 * the runtime's errors.
 */
export async function runInContainer(
  runtime: Pick<RuntimeServiceClient, 'execSync'>,
  { containerId, command, timeoutSeconds }: CheckedInput<typeof runtimeGateway.exec>,
  options: { signal: AbortSignal },
): Promise<Answer> {
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
 * CRI-O answers a command that ran out of time with OK, this code and this text, so that kubelet
 * counts a probe as failed. No command can end with a negative code by itself.
 */
function saysTimeout(error: unknown): boolean {
  if (!(error instanceof CommandExitError) || error.exitCode !== -1) return false;
  return new TextDecoder().decode(error.stderr).trim() === 'command timed out';
}

type Answer = CommandAnswer<typeof runtimeGateway.exec>;

interface Outcome {
  readonly exitCode: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

function outcome({ exitCode, stdout, stderr }: Outcome): Answer {
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
