import { connectImageService, connectRuntimeService } from '@stowage/cri-client';
import { Registry } from 'prom-client';
import { CollectionRunner, defaultAccountWaitMs } from './collect/collection-runner';
import { policyOf, type GcConfig } from './config';
import { CriRuntime } from './runtime/cri-runtime';
import { ImageDetector } from './detect/detect-images';
import { DiskWatch } from './disk/disk-watch';
import { compileExempt, needsLabels } from './policy/exempt';
import { ImageContents } from './detect/image-contents';
import { ImageHints } from './detect/image-hints';
import { measureFileSystem } from './disk/measure-file-system';
import { defaultMeterLimits } from './disk/measure-freed';
import { gcMetrics } from './metrics';
import { planReply } from './queries';
import { ImageRecordStore } from './records/record-store';

type DryRunConfig = Pick<
  GcConfig,
  | 'runtimeEndpoint'
  | 'imageEndpoint'
  | 'runtimeRequestTimeoutMs'
  | 'stateDir'
  | 'hostRoot'
  | 'maxPullMs'
  | 'maxHoldMs'
  | 'lostContainerWaitMs'
  | 'sandboxImage'
  | 'removalTimeoutMs'
> &
  Parameters<typeof policyOf>[0];

/**
 * What a collection would do now, as JSON, by the runtime, the file systems and the records that a worker keeps in the state directory. Asks
 * and reads only: nothing is written, told or removed, and it may run beside a worker. Pulls in progress are not known here. Throws
 * what the runtime or the file systems answered.
 */
export async function dryRun(config: DryRunConfig): Promise<string> {
  const policy = policyOf(config);
  const problems: string[] = [];
  const quiet = () => undefined;
  const log = {
    debug: quiet,
    info: quiet,
    warn: (fields: object, message: string) => {
      const { reason } = fields as { reason?: string };
      problems.push(reason === undefined ? message : `${message}: ${reason}`);
    },
  };
  const options = { timeoutMs: config.runtimeRequestTimeoutMs };
  const runtimeService = connectRuntimeService({ endpoint: config.runtimeEndpoint, ...options });
  const imageService = connectImageService({ endpoint: config.imageEndpoint, ...options });
  const runtime = new CriRuntime(runtimeService, imageService);
  const now = () => Date.now();
  const store = ImageRecordStore.open({
    stateDir: config.stateDir,
    keep: policy.differences.records === 'on-disk' ? 'as-read' : 'in-memory',
    now: () => new Date(now()),
    log,
  });
  const hints = new ImageHints(config);
  for (const [name, until] of store.holds()) hints.hold([name], until, now());
  const metrics = gcMetrics(new Registry());
  const common = { policy, runtime, store, log, now, publish: quiet, publishAll: quiet };
  const nextSequence = () => 1;
  const runner = new CollectionRunner({
    ...common,
    metrics: metrics.collection,
    nextSequence,
    detector: new ImageDetector({
      ...common,
      metrics: metrics.detection,
      nextSequence,
      hints,
      differences: policy.differences,
      exempt: compileExempt(policy.exemptImages, policy.exemptRules),
      needsLabels: needsLabels(policy.exemptRules),
      regretWindowMs: policy.regretWindowMs,
      contents: new ImageContents(runtime),
      sandboxImage: config.sandboxImage,
      lostContainerWaitMs: config.lostContainerWaitMs,
      useUnknown: (reason) => {
        if (reason !== undefined) problems.push(`unused images are kept: ${reason}`);
      },
    }),
    disks: new DiskWatch({
      ...common,
      metrics: metrics.disk,
      nextSequence,
      measure: measureFileSystem,
      hostRoot: config.hostRoot,
      health: (problem) => {
        if (problem !== undefined) problems.push(problem);
      },
    }),
    meter: defaultMeterLimits,
    accountWaitMs: defaultAccountWaitMs,
    removalTimeoutMs: config.removalTimeoutMs,
  });
  try {
    const plan = await runner.plan({}, { signal: new AbortController().signal });
    const reply = { ...planReply(plan, { limit: Infinity }), problems: [...new Set(problems)] };
    return JSON.stringify(reply, null, 2);
  } finally {
    runtimeService.close();
    imageService.close();
  }
}
