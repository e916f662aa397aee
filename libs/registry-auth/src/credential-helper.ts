import path from 'node:path';
import { createCredential, type Credential } from './credential';
import type { LookupOptions, ProblemListener } from './keyring';
import {
  firstJson,
  isField,
  JsonError,
  jsonMembers,
  jsonString,
  wantedString,
} from './json-object';
import { ProgramError, runProgram } from './run-program';
import { SingleFlight } from './single-flight';

/** Docker's name for its Hub towards credential helpers. */
const dockerHubServer = 'https://index.docker.io/v1/';

/**
 * What a helper says (on standard output, as a rule with exit status 1) when it has nothing for a
 * server.
 */
const notFound = /credentials not found/i;

/**
 * What helpers say on standard output when they were asked in a wrong way. All else that stands
 * there may be a secret.
 */
const knownMessages = ['no credentials server URL', 'no credentials username'];

/** User name that stands for "the secret is an identity token". */
const tokenUser = '<token>';

const defaultTimeoutMs = 60_000;

export interface CredentialHelperOptions {
  /** Folder of the `docker-credential-*` programs; empty looks into PATH. */
  readonly binDir?: string;
  /** Time a helper may take; default 60 s. */
  readonly timeoutMs?: number;
  readonly onProblem?: ProblemListener;
}

/**
 * Asks docker credential helpers (`docker-credential-NAME get`). Helpers for one server run once at
 * a time.
 */
export class CredentialHelpers {
  private readonly flights = new SingleFlight<Credential | undefined>();

  constructor(private readonly options: CredentialHelperOptions = {}) {}

  /**
   * The credential a helper has for the registry of a repository. A failing helper is reported and
   * gives none.
   */
  async get(
    helper: string,
    repository: string,
    { signal }: LookupOptions = {},
  ): Promise<Credential | undefined> {
    const server = serverOf(repository);
    return await this.flights.run(
      `${helper} ${server}`,
      async (flightSignal) => await this.ask(helper, server, flightSignal),
      signal,
    );
  }

  private async ask(
    helper: string,
    server: string,
    signal: AbortSignal,
  ): Promise<Credential | undefined> {
    try {
      return await this.credential(helper, server, signal);
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error;
      if (notFound.test(error.stdout)) return undefined;
      const said = knownMessages.find((message) => error.stdout.trim() === message);
      this.options.onProblem?.({
        kind: 'credential-helper',
        name: helper,
        reason: `docker-credential-${helper} get ${server}: ${error.message}${said === undefined ? '' : `: ${said}`}`,
      });
      return undefined;
    }
  }

  private async credential(
    helper: string,
    server: string,
    signal: AbortSignal,
  ): Promise<Credential | undefined> {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(helper)) {
      throw new ProgramError('a helper name is letters, digits, ".", "_" and "-"');
    }
    const { binDir = '', timeoutMs = defaultTimeoutMs } = this.options;
    const output = await runProgram({
      program: path.join(binDir, `docker-credential-${helper}`),
      args: ['get'],
      input: server,
      timeoutMs,
      signal,
    });
    const { username, secret } = readAnswer(output);
    if (username === '' && secret === '') return undefined;
    return createCredential(
      username === tokenUser ? { identityToken: secret } : { username, password: secret },
      { kind: 'credential-helper', helper },
    );
  }
}

function serverOf(repository: string): string {
  const domain = repository.split('/', 1)[0] ?? '';
  return domain === 'docker.io' ? dockerHubServer : domain;
}

/**
 * Reads an answer as docker does: the first JSON value, names of fields in any case, null for none,
 * other fields left alone. Throws ProgramError, which does not repeat the answer.
 */
function readAnswer(output: string): { username: string; secret: string } {
  let username = '';
  let secret = '';
  try {
    for (const [key, value] of jsonMembers(firstJson(output)) ?? []) {
      if (isField(key, 'username')) username = jsonString(value) ?? username;
      else if (isField(key, 'secret')) secret = jsonString(value) ?? secret;
      else if (isField(key, 'serverurl')) jsonString(value);
    }
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    if (error.message === wantedString) {
      throw new ProgramError('ServerURL, Username or Secret of its answer is not a text');
    }
    const reason =
      error.message === 'not JSON' ? 'is not JSON' : `cannot be read: ${error.message}`;
    throw new ProgramError(`its answer ${reason}`, output);
  }
  return { username, secret };
}
