import { runService } from '@stowage/service-kit';
import { DockerShimModule } from './app.module';
import { config } from './config';

void runService({ config, module: () => DockerShimModule });
