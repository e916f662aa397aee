import { runService } from '@stowage/service-kit';
import { RuntimeGatewayModule } from './app.module';
import { config } from './config';

export const run = (): Promise<void> => runService({ config, module: () => RuntimeGatewayModule });
