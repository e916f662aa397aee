import { runService } from '@stowage/service-kit/start';
import { config } from './config';

void runService({
  config,
  module: async () => (await import('./app.module')).RuntimeGatewayModule,
});
