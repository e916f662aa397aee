import { runService } from '@stowage/service-kit';
import { ImageServiceModule } from './app.module';
import { config } from './config';

export const run = (): Promise<void> => runService({ config, module: () => ImageServiceModule });
