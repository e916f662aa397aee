import { RunPodSandboxRequest, RunPodSandboxResponse } from '@stowage/cri-proto';
import { podOf } from '../objects/cri-facts';
import type { OnCall } from './observer-context';

/** RunPodSandbox has everything in its messages: who the pod is, and how long it took. */
export const onRunPodSandbox: OnCall = (call, { lifecycle }) => {
  const { config, runtimeHandler } = RunPodSandboxRequest.decode(call.request);
  const { podSandboxId } = RunPodSandboxResponse.decode(call.response);
  lifecycle.sandbox({
    id: podSandboxId,
    phase: 'ready',
    pod: podOf(config?.metadata),
    attempt: config?.metadata?.attempt,
    runtimeHandler: runtimeHandler === '' ? undefined : runtimeHandler,
    durationMs: call.durationMs,
    observedBy: 'call',
    atMs: call.endedAtMs,
  });
};
