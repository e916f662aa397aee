import { runService } from '@stowage/service-kit';
import { GcWorkerModule } from './app.module';
import { config } from './config';
import { dryRun } from './dry-run';

export const run = (): Promise<void> =>
  runService({ config, module: () => GcWorkerModule, instead: { '--dry-run': dryRun } });
