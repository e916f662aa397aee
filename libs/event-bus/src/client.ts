// What a program needs that is no service: a connection, and the stream as services want it. It
// loads no outbox.
export { apiFailure, askApi, isWithoutJetStream, jetStreamManager } from './jetstream-api';
export { natsConnectSettings } from './nats-link';
export { streamConfig, streamDifferences } from './stream';
export type { NatsOptions, StreamOptions } from './types';
