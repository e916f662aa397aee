import type {
  CheckpointContainerRequest,
  ExecSyncRequest,
  ExecSyncResponse,
  RuntimeServiceDefinition,
  StreamContainersResponse,
  StreamContainerStatsResponse,
  StreamPodSandboxesResponse,
  StreamPodSandboxMetricsResponse,
  StreamPodSandboxStatsResponse,
} from '@stowage/cri-proto';
import { toGrpcStatus } from '@stowage/errors';
import { formatGoDuration } from '@stowage/go-duration';
import {
  checkContainerId,
  checkContainerStatus,
  checkPodSandboxId,
  checkPodSandboxStatus,
  checkStatus,
  checkUrl,
  checkVersion,
} from './checks';
import { CommandExitError, CommandTimeoutError, CriRequestError } from './errors';
import { quoteGo } from './go-text';
import type { MethodRules } from './method-rules';

export type RuntimeMethods = (typeof RuntimeServiceDefinition)['methods'];

const sandboxId = (request: { podSandboxId: string }) => request.podSandboxId;
const containerId = (request: { containerId: string }) => request.containerId;

/**
 * Kubelet's treatment of each call of the runtime service: metrics label, time limit, response
 * check.
 */
export const runtimeRules: MethodRules<RuntimeMethods> = {
  version: { operation: 'version', check: checkVersion },
  runPodSandbox: {
    operation: 'run_podsandbox',
    timeoutMs: (_request, baseMs) => 2 * baseMs,
    check: (response, request) => {
      checkPodSandboxId(response.podSandboxId, request.config?.metadata);
    },
  },
  stopPodSandbox: { operation: 'stop_podsandbox', objectId: sandboxId },
  removePodSandbox: { operation: 'remove_podsandbox', objectId: sandboxId },
  podSandboxStatus: {
    operation: 'podsandbox_status',
    objectId: sandboxId,
    check: (response) => {
      checkPodSandboxStatus(response.status);
    },
  },
  listPodSandbox: {
    operation: 'list_podsandbox',
    streamed: {
      method: 'streamPodSandboxes',
      collect: (chunks) => ({
        items: (chunks as StreamPodSandboxesResponse[]).flatMap((chunk) => chunk.podSandboxes),
      }),
    },
  },
  streamPodSandboxes: { operation: 'stream_podsandboxes' },
  createContainer: {
    operation: 'create_container',
    objectId: sandboxId,
    check: (response, request) => {
      checkContainerId(response.containerId, request.config?.metadata);
    },
  },
  startContainer: { operation: 'start_container', objectId: containerId },
  stopContainer: {
    operation: 'stop_container',
    objectId: containerId,
    timeoutMs: (request, baseMs) => baseMs + millisecondsOf(request.timeout),
  },
  removeContainer: { operation: 'remove_container', objectId: containerId },
  listContainers: {
    operation: 'list_containers',
    streamed: {
      method: 'streamContainers',
      collect: (chunks) => ({
        containers: (chunks as StreamContainersResponse[]).flatMap((chunk) => chunk.containers),
      }),
    },
  },
  streamContainers: { operation: 'stream_containers' },
  containerStatus: {
    operation: 'container_status',
    objectId: containerId,
    check: (response) => {
      checkContainerStatus(response.status);
    },
  },
  updateContainerResources: { operation: 'update_container', objectId: containerId },
  reopenContainerLog: { operation: 'reopen_container_log', objectId: containerId },
  execSync: {
    operation: 'exec_sync',
    objectId: containerId,
    timeoutMs: (request, baseMs) =>
      request.timeout === 0n ? undefined : baseMs + millisecondsOf(request.timeout),
    check: checkExecSync,
    translate: (error, request) =>
      toGrpcStatus(error).name === 'DEADLINE_EXCEEDED' ? commandTimeout(request, error) : error,
  },
  exec: {
    operation: 'exec',
    objectId: containerId,
    check: (response) => {
      checkUrl('Exec', response.url);
    },
  },
  attach: {
    operation: 'attach',
    objectId: containerId,
    check: (response) => {
      checkUrl('Attach', response.url);
    },
  },
  portForward: {
    operation: 'port_forward',
    objectId: sandboxId,
    check: (response) => {
      checkUrl('PortForward', response.url);
    },
  },
  containerStats: { operation: 'container_stats', objectId: containerId },
  listContainerStats: {
    operation: 'list_container_stats',
    streamed: {
      method: 'streamContainerStats',
      collect: (chunks) => ({
        stats: (chunks as StreamContainerStatsResponse[]).flatMap((chunk) => chunk.containerStats),
      }),
    },
  },
  streamContainerStats: { operation: 'stream_container_stats' },
  podSandboxStats: { operation: 'podsandbox_stats', objectId: sandboxId },
  listPodSandboxStats: {
    operation: 'list_podsandbox_stats',
    streamed: {
      method: 'streamPodSandboxStats',
      collect: (chunks) => ({
        stats: (chunks as StreamPodSandboxStatsResponse[]).flatMap(
          (chunk) => chunk.podSandboxStats,
        ),
      }),
    },
  },
  streamPodSandboxStats: { operation: 'stream_podsandbox_stats' },
  updateRuntimeConfig: { operation: 'update_runtime_config' },
  status: { operation: 'status', check: checkStatus },
  checkpointContainer: {
    operation: 'checkpoint_container',
    objectId: containerId,
    missingRequest: 'CheckpointContainer requires non-nil CheckpointRestoreOptions parameter',
    timeoutMs: (request, baseMs) => Math.max(baseMs, millisecondsOf(request.timeout)),
    prepare: prepareCheckpoint,
  },
  checkpointPod: {
    operation: 'checkpoint_pod',
    objectId: sandboxId,
    missingRequest: 'CheckpointPod requires non-nil CheckpointPodRequest parameter',
    callerTimeoutReplaces: true,
  },
  restorePod: {
    operation: 'restore_pod',
    missingRequest: 'RestorePod requires non-nil RestorePodRequest parameter',
    callerTimeoutReplaces: true,
  },
  getContainerEvents: {
    operation: 'get_container_events',
    timeoutMs: () => undefined,
    endsWithConnection: true,
  },
  listMetricDescriptors: { operation: 'list_metric_descriptors' },
  listPodSandboxMetrics: {
    operation: 'list_podsandbox_metrics',
    streamed: {
      method: 'streamPodSandboxMetrics',
      collect: (chunks) => ({
        podMetrics: (chunks as StreamPodSandboxMetricsResponse[]).flatMap(
          (chunk) => chunk.podSandboxMetrics,
        ),
      }),
    },
  },
  streamPodSandboxMetrics: { operation: 'stream_podsandbox_metrics' },
  runtimeConfig: { operation: 'runtime_config' },
  updatePodSandboxResources: { operation: 'update_podsandbox_resources', objectId: sandboxId },
};

/** Seconds of a request in milliseconds; negative ones count as none. */
function millisecondsOf(seconds: bigint): number {
  return seconds > 0n ? Number(seconds) * 1000 : 0;
}

function checkExecSync(response: ExecSyncResponse, request: ExecSyncRequest): void {
  if (response.exitCode !== 0) {
    throw new CommandExitError(request.cmd, response.exitCode, response.stdout, response.stderr);
  }
}

function commandTimeout(request: ExecSyncRequest, cause: unknown): CommandTimeoutError {
  const command = quoteGo(request.cmd.join(' '));
  return new CommandTimeoutError(
    request.cmd,
    `command timed out: ${command} timed out after ${formatGoDuration(Number(request.timeout) * 1000)}`,
    { cause },
  );
}

/**
 * A time-out of the request that is shorter than the client's own is raised to it, so that both end
 * together.
 */
function prepareCheckpoint(
  request: CheckpointContainerRequest,
  baseMs: number,
): CheckpointContainerRequest {
  if (request.timeout < 0n) {
    throw new CriRequestError(
      'CheckpointContainer',
      'CheckpointContainer requires the timeout value to be > 0',
    );
  }
  const baseSeconds = BigInt(Math.floor(baseMs / 1000));
  return request.timeout > baseSeconds ? request : { ...request, timeout: baseSeconds };
}
