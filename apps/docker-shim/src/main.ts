import { startService } from '@stowage/service-kit/start';

void startService({
  app: 'docker-shim',
  config: async () => (await import('./config')).config,
  run: async () => (await import('./service')).run(),
});
