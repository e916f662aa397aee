import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** A call that a fake plugin got. */
export interface PluginCallRecord {
  plugin: string;
  command: string;
  containerId: string;
  netns: string;
  ifName: string;
  args: string;
  path: string;
  config: Record<string, unknown> & {
    prevResult?: Record<string, unknown>;
    runtimeConfig?: Record<string, unknown>;
  };
}

/** Result of version 1.0.0 with these addresses on the pod's interface. */
export const resultWith = (...addresses: string[]) => ({
  cniVersion: '1.0.0',
  interfaces: [{ name: 'veth1' }, { name: 'eth0', sandbox: '/proc/1/ns/net' }],
  ips: addresses.map((address) => ({ address, interface: 1 })),
});

/** CNI plugins that are shell scripts: they record each call and answer as they are told. */
export class FakePlugins {
  readonly binDir: string;
  readonly #log: string;
  readonly #answers: string;

  /** @param folder where scripts and records are. */
  constructor(folder: string) {
    this.binDir = path.join(folder, 'bin');
    this.#log = path.join(folder, 'calls.jsonl');
    this.#answers = path.join(folder, 'answers');
    mkdirSync(this.binDir, { recursive: true });
    mkdirSync(this.#answers, { recursive: true });
  }

  /** Makes a plugin; returns the path of its program. */
  add(name: string): string {
    const file = path.join(this.binDir, name);
    const result = JSON.stringify(resultWith('10.1.0.5/24'));
    writeFileSync(
      file,
      `#!/bin/sh
config=$(cat)
printf '{"plugin":"%s","command":"%s","containerId":"%s","netns":"%s","ifName":"%s","args":"%s","path":"%s","config":%s}\\n' \\
  "${name}" "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$CNI_PATH" "$config" >> '${this.#log}'
answer='${this.#answers}/${name}.'$CNI_COMMAND
if [ -f "$answer" ]; then . "$answer"; exit; fi
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}' ;;
ADD) echo '${result}' ;;
esac
`,
    );
    chmodSync(file, 0o755);
    return file;
  }

  remove(name: string): void {
    rmSync(path.join(this.binDir, name));
  }

  /** Shell commands that a plugin runs for a command from now on; none brings its own back. */
  answer(name: string, command: string, script?: string): void {
    const file = path.join(this.#answers, `${name}.${command}`);
    if (script === undefined) rmSync(file, { force: true });
    else writeFileSync(file, `${script}\n`);
  }

  /** What the plugin prints for ADD from now on. */
  result(name: string, result: unknown): void {
    this.answer(name, 'ADD', `echo '${JSON.stringify(result)}'`);
  }

  /** Makes a plugin fail as the protocol wants it. */
  fail(
    name: string,
    command: string,
    error: { code: number; msg: string; details?: string },
  ): void {
    const { code, msg, details } = error;
    const printed = JSON.stringify({ cniVersion: '1.0.0', code, msg, details });
    this.answer(name, command, `echo '${printed}'; exit 1`);
  }

  /** Calls so far, without VERSION unless that is asked for. */
  calls(...commands: string[]): PluginCallRecord[] {
    if (!existsSync(this.#log)) return [];
    const all = readFileSync(this.#log, 'utf8').trim().split('\n');
    return all
      .map((line) => JSON.parse(line) as PluginCallRecord)
      .filter(({ command }) =>
        commands.length === 0 ? command !== 'VERSION' : commands.includes(command),
      );
  }

  /** The calls so far, each as `plugin COMMAND`. */
  order(): string[] {
    return this.calls().map(({ plugin, command }) => `${plugin} ${command}`);
  }
}
