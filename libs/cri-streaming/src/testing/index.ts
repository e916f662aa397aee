export { openTunnel } from './open-tunnel';
export { SpdyClient, type ClientStream, type SpdyClientOptions } from './spdy-client';
