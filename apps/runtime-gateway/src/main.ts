import { runService } from '@stowage/service-kit';
import { RuntimeGatewayModule } from './app.module';
import { config } from './config';

void runService({ config, module: () => RuntimeGatewayModule });
