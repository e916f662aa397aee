import { Module } from '@nestjs/common';
import { parseEndpoint } from '@stowage/cri-client';
import { observeRuntime, provider } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { EngineConnection } from './engine/engine-connection';
import { shimMetrics } from './metrics';
import { ENGINE, METRICS } from './tokens';

const engine = [
  provider(METRICS, [CONTEXT], ({ metrics }) => shimMetrics(metrics)),
  provider(
    ENGINE,
    [CONTEXT, METRICS],
    (context, { engineCalled }) => {
      const { dockerEndpoint, requestTimeoutMs } = context.config;
      const connection = new EngineConnection({
        socketPath: parseEndpoint(dockerEndpoint).address,
        timeoutMs: requestTimeoutMs,
        onEnded: engineCalled,
      });
      observeRuntime(context, connection, 'docker');
      return connection;
    },
    { close: (connection) => connection.close() },
  ),
];

/** The way to the engine. */
@Module({ providers: engine, exports: engine })
export class EngineModule {}
