import { runService } from '@stowage/service-kit/start';
import { config } from './config';

void runService({
  config,
  module: async () => (await import('./app.module')).GcWorkerModule,
  instead: { '--dry-run': async (values) => (await import('./dry-run')).dryRun(values) },
});
