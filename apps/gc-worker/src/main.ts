import { runService } from '@stowage/service-kit';
import { GcWorkerModule } from './app.module';
import { config } from './config';

void runService({ config, module: (context) => GcWorkerModule.create(context) });
