import { Module } from '@nestjs/common';
import { parseEndpoint } from '@stowage/cri-client';
import { observeRuntime, provider } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { EngineConnection } from './engine/engine-connection';
import { shimMetrics } from './metrics';
import { ListedContainers } from './pod/listed-containers';
import { ENGINE, LISTED, METRICS } from './tokens';

const engine = [
  provider(METRICS, [CONTEXT], ({ metrics }) => shimMetrics(metrics)),
  provider(LISTED, [], () => new ListedContainers()),
  provider(
    ENGINE,
    [CONTEXT, METRICS, LISTED],
    (context, { engineCalled }, listed) => {
      const { dockerEndpoint, requestTimeoutMs } = context.config;
      const connection = new EngineConnection({
        socketPath: parseEndpoint(dockerEndpoint).address,
        timeoutMs: requestTimeoutMs,
        onEnded: (call) => {
          engineCalled(call);
          listed.called(call);
        },
      });
      observeRuntime(context, connection, 'docker');
      return connection;
    },
    { close: (connection) => connection.close() },
  ),
];

/** The way to the engine, and what it lists. */
@Module({ providers: engine, exports: engine })
export class EngineModule {}
