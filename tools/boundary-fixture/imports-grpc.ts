import { credentials } from '@grpc/grpc-js';

export const insecure = credentials.createInsecure;
