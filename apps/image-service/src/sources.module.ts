import { Module } from '@nestjs/common';
import { imageRuntimeProvider, provider } from '@stowage/service-kit';
import { credentialSources, pullLimits, recordSettings } from './config';
import { nodeCredentials } from './credentials/node-credentials';
import { imageMetrics } from './metrics';
import { PullQueue } from './pull/pull-queue';
import { openPullRecords } from './records/keep-pull-records';
import { CONTEXT, METRICS, NODE, QUEUE, RECORDS } from './tokens';

const sources = [
  imageRuntimeProvider(CONTEXT, { component: 'runtime' }),
  provider(QUEUE, [CONTEXT], ({ config }) => new PullQueue(pullLimits(config))),
  provider(METRICS, [CONTEXT, QUEUE], ({ metrics }, queue) =>
    imageMetrics(metrics, { inFlight: () => queue.running, waiting: () => queue.waiting }),
  ),
  provider(NODE, [CONTEXT, METRICS], ({ config, log }, metrics) =>
    nodeCredentials({
      ...credentialSources(config),
      onProviderRun: metrics.providerRan,
      onWarning: (warning) => {
        log.warn(warning);
      },
      onProblem: (problem) => {
        metrics.credentialProblem(problem.kind);
        log.warn(problem, 'credential source cannot be used');
      },
    }),
  ),
  provider(RECORDS, [CONTEXT, METRICS], ({ config, log }, metrics) => {
    const settings = recordSettings(config);
    if (settings === undefined) return undefined;
    return metrics.countRecords(
      openPullRecords(settings, {
        checked: metrics.recordChecked,
        problem: (what, error) => {
          metrics.recordProblem();
          log.warn({ err: error }, what);
        },
      }),
    );
  }),
];

/** What a configuration names: the runtime, credentials, records, limits. */
@Module({ providers: sources, exports: sources })
export class SourcesModule {}
