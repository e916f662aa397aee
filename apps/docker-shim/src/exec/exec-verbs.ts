import type {
  AttachRequest,
  AttachResponse,
  ExecRequest,
  ExecResponse,
  ExecSyncRequest,
  ExecSyncResponse,
  PortForwardRequest,
  PortForwardResponse,
} from '@stowage/cri-proto';
import type { StreamingServer } from '@stowage/cri-streaming';
import { InvalidArgumentError } from '@stowage/errors';
import type { EngineConnection } from '../engine/engine-connection';
import { AttachSessions } from './attach-session';
import { ExecSessions } from './exec-session';
import { ExecSync } from './exec-sync';
import { PortForwards } from './port-forward';
import type { ExecListener, RunningThings } from './running-things';

export interface ExecVerbsParts {
  readonly connection: Pick<EngineConnection, 'engine'>;
  readonly things: RunningThings;
  readonly server: StreamingServer;
  /** As `orphanGraceMs` of `ExecSessions`. */
  readonly orphanGraceMs: number | undefined;
  readonly listener: ExecListener;
}

interface Call {
  readonly signal: AbortSignal;
}

/** The calls of RuntimeService that run something in a container, or connect to one. */
export class ExecVerbs {
  readonly #sync: ExecSync;
  readonly #execs: ExecSessions;
  readonly #attaches: AttachSessions;
  readonly #forwards = new PortForwards();

  constructor(private readonly parts: ExecVerbsParts) {
    const { connection, things, orphanGraceMs, listener } = parts;
    this.#sync = new ExecSync(connection, things, listener);
    this.#execs = new ExecSessions(connection, { orphanGraceMs, listener });
    this.#attaches = new AttachSessions(connection, things);
  }

  execSync(request: ExecSyncRequest, call: Call): Promise<ExecSyncResponse> {
    return this.#sync.run(request, call);
  }

  async exec(request: ExecRequest, { signal }: Call): Promise<ExecResponse> {
    const { cmd: command, stdin, stdout, stderr, tty } = request;
    if (command.length === 0) throw new InvalidArgumentError('cmd', '', 'a command');
    const { id } = await this.parts.things.container(request.containerId, signal);
    const streams = { stdin, stdout, stderr, tty };
    const target = this.#execs.target(id, { command, ...streams });
    return { url: await this.parts.server.exec(streams, target) };
  }

  async attach(request: AttachRequest, { signal }: Call): Promise<AttachResponse> {
    const { stdin, stdout, stderr, tty } = request;
    const container = await this.parts.things.container(request.containerId, signal);
    if (stdin && !container.openStdin) {
      throw new InvalidArgumentError('stdin', true, 'false, as the container has no stdin');
    }
    const streams = { stdin, stdout, stderr, tty };
    const target = this.#attaches.target(container, streams);
    return { url: await this.parts.server.attach(streams, target) };
  }

  async portForward(request: PortForwardRequest, { signal }: Call): Promise<PortForwardResponse> {
    for (const port of request.port) {
      if (port < 1 || port > 0xffff) throw new InvalidArgumentError('port', port, '1 to 65535');
    }
    const sandbox = await this.parts.things.sandbox(request.podSandboxId, signal);
    const target = this.#forwards.target(sandbox);
    return { url: await this.parts.server.portForward(request.port, target) };
  }

  /**
   * Takes no more sessions, lets those that run end for `drainMs` milliseconds, and kills the
   * commands of clients that are gone.
   */
  async close(options: { readonly drainMs?: number } = {}): Promise<void> {
    await this.parts.server.close(options);
    await this.#execs.close();
    this.#forwards.close();
  }
}
