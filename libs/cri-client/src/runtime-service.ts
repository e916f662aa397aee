import { RuntimeServiceDefinition } from '@stowage/cri-proto';
import { connectService, type CriService } from './cri-calls';
import { runtimeRules } from './runtime-rules';
import type { CriClientOptions, RuntimeServiceClient } from './types';

/**
 * Client of CRI's RuntimeService on its own connection, opened in the background and reopened
 * whenever it is lost. Each call applies kubelet's time limit and response check. Calls throw
 * RuntimeUnavailableError while the runtime is away, CriError with the runtime's status and
 * message, ResponseInvalidError, DeadlineExceededError, CancelledError, CriRequestError; ExecSync
 * also CommandExitError and CommandTimeoutError. Throws CriOptionsError for wrong options.
 */
export function connectRuntimeService(options: CriClientOptions): RuntimeServiceClient {
  const { methods } = RuntimeServiceDefinition;
  const service = {
    name: 'runtime',
    wireName: 'RuntimeService',
    methods,
    rules: runtimeRules,
    probe: methods.version,
  } as unknown as CriService;
  return connectService(service, options) as RuntimeServiceClient;
}
