import { runService } from '@stowage/service-kit';
import { ImageServiceModule } from './app.module';
import { config } from './config';

void runService({ config, module: () => ImageServiceModule });
