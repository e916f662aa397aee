import { runService } from '@stowage/service-kit';

export const run = runService;
