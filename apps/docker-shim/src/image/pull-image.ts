import type { AuthConfig, PullImageRequest } from '@stowage/cri-proto';
import { errorMessage } from '@stowage/errors';
import { redactSecrets, secretTexts } from '@stowage/registry-auth';
import type { EngineClient, RegistryLogin } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { EngineResponseError } from '../engine/engine-errors';
import { checkHandler } from '../runtime/runtime-handler';
import { givenImage, pullName } from './image-name';
import { ProgressWatchdog } from './progress-watchdog';
import { pullFailure } from './pull-failure';

/** What is told of pulls, for metrics. */
export interface PullListener {
  /** `bytes` came since it was told last. */
  downloaded(bytes: number): void;
  /** An image is there that may not have been before. */
  pulled(): void;
  /** A pull was ended because it made no progress. */
  stalled(): void;
}

/** A pull that is going on. */
export interface RunningPull {
  readonly reference: string;
  readonly since: Date;
  readonly bytes: number;
}

/** PullImage. */
export class PullImage {
  readonly #running = new Set<RunningPull>();

  /** @param progressDeadlineMs longest time without any progress, milliseconds; 0 for no limit. */
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly progressDeadlineMs: number,
    private readonly listener: PullListener,
  ) {}

  running(): readonly RunningPull[] {
    return [...this.#running];
  }

  /**
   * Pulls an image and returns its id. Whoever gives the call up, ends the pull.
   *
   * @throws {InvalidImageNameError} @throws {ImagePullError} @throws {DeadlineExceededError}
   *   without progress
   */
  async pull(
    { image, auth }: Pick<PullImageRequest, 'image' | 'auth'>,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<string> {
    const name = pullName(givenImage(image?.image));
    const { client, info } = this.connection.engine();
    checkHandler(image?.runtimeHandler ?? '', info);
    const watchdog = new ProgressWatchdog(name.reference, this.progressDeadlineMs);
    const pull: RunningPull = {
      reference: name.reference,
      since: new Date(),
      get bytes() {
        return watchdog.bytes;
      },
    };
    this.#running.add(pull);
    try {
      await this.#download(client, name, auth, watchdog, signal);
    } finally {
      watchdog.end();
      this.#running.delete(pull);
    }
    this.listener.pulled();
    const at = name.tagOrDigest.includes(':') ? '@' : ':';
    const { Id } = await client.inspectImage(name.repository + at + name.tagOrDigest, { signal });
    return Id ?? '';
  }

  async #download(
    client: EngineClient,
    name: ReturnType<typeof pullName>,
    auth: AuthConfig | undefined,
    watchdog: ProgressWatchdog,
    signal: AbortSignal,
  ): Promise<void> {
    const secrets = auth === undefined ? [] : secretTexts(auth);
    const either = AbortSignal.any([signal, watchdog.stalled]);
    try {
      for await (const message of client.pullImage(name, loginOf(auth), { signal: either })) {
        const before = watchdog.bytes;
        watchdog.see(message);
        this.listener.downloaded(watchdog.bytes - before);
        const failure = message.errorDetail?.message ?? message.error;
        if (failure !== undefined) throw pullFailure(redactSecrets(failure, secrets));
      }
    } catch (error) {
      if (!signal.aborted && watchdog.stalled.aborted) this.listener.stalled();
      if (!(error instanceof EngineResponseError)) throw error;
      throw pullFailure(redactSecrets(errorMessage(error), secrets), { cause: error.status });
    }
  }
}

/** The engine's form of a credential; undefined where none is given. */
export function loginOf(auth: AuthConfig | undefined): RegistryLogin | undefined {
  if (auth === undefined) return undefined;
  let { username, password } = auth;
  if (username === '' && auth.auth !== '') {
    const given = Buffer.from(auth.auth, 'base64').toString();
    const at = given.indexOf(':');
    username = at < 0 ? given : given.slice(0, at);
    password = at < 0 ? '' : given.slice(at + 1).replace(/\0+$/, '');
  }
  const login = {
    username,
    password,
    serveraddress: auth.serverAddress,
    identitytoken: auth.identityToken,
    registrytoken: auth.registryToken,
  };
  const filled = Object.entries(login).filter(([, value]) => value !== '');
  return filled.length === 0 ? undefined : Object.fromEntries(filled);
}
