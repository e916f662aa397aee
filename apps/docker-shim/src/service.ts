import { runService } from '@stowage/service-kit';
import { DockerShimModule } from './app.module';
import { config } from './config';

export const run = (): Promise<void> => runService({ config, module: () => DockerShimModule });
