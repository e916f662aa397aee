import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runProgram } from './run-program';
import { ServerProcess } from './server-process';
import type { Registry } from './types';

/** A user of a registry. */
export interface RegistryAccount {
  username: string;
  password: string;
}

/** Debian's docker-registry on a loopback port, with its data in a folder. */
export class RegistryProcess extends ServerProcess implements Registry {
  readonly host: string;
  readonly url: string;

  constructor(
    port: number,
    {
      name,
      dir,
      env,
      account,
    }: {
      name: string;
      dir: string;
      env: Readonly<Record<string, string>>;
      /** The only user; absent: open for everybody. */
      account?: RegistryAccount;
    },
  ) {
    const configFile = path.join(dir, `${name}.yml`);
    super({
      name,
      command: 'docker-registry',
      args: ['serve', configFile],
      env: { ...env, OTEL_TRACES_EXPORTER: 'none' },
      logFile: path.join(dir, 'logs', `${name}.log`),
      isReady: async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/v2/`);
        await answer.body?.cancel();
        return answer.status === (account === undefined ? 200 : 401);
      },
    });
    this.host = `127.0.0.1:${port}`;
    this.url = `http://${this.host}`;
    const data = path.join(dir, name);
    mkdirSync(data, { recursive: true });
    const config: Record<string, unknown> = {
      version: 0.1,
      log: { level: 'info', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: data }, delete: { enabled: true } },
      http: { addr: this.host, secret: randomBytes(16).toString('hex') },
    };
    if (account !== undefined) {
      config.auth = { htpasswd: { realm: 'stowage', path: path.join(dir, `${name}.htpasswd`) } };
    }
    // JSON is YAML.
    writeFileSync(configFile, JSON.stringify(config), { mode: 0o600 });
  }
}

/** A user with a random password, and the password file that a registry reads. */
export async function createAccount(passwordFile: string): Promise<RegistryAccount> {
  const account = { username: 'stowage', password: randomBytes(12).toString('hex') };
  const line = await runProgram('htpasswd', ['-nBi', '-C', '4', account.username], {
    input: account.password,
  });
  writeFileSync(passwordFile, line, { mode: 0o600 });
  return account;
}
