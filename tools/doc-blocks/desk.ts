import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { makeCheckout } from './checkout';
import { root } from './markdown';
import {
  runCommands,
  ThrowawayShell,
  type Ended,
  type Printed,
  type Seen,
  type ThrowawayOptions,
} from './throwaway';

/** Programs that whoever reads a page has; what they start is real. */
const usual = (checkout: string, node: string): Readonly<Record<string, string>> => ({
  // As root already.
  sudo: 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
  hostname: `echo ${node}`,
  stowctl: `exec ${process.execPath} ${checkout}/dist/apps/stowctl/main.js "$@"`,
  nats: `exec ${process.execPath} ${root}/tools/doc-blocks/nats-program.mjs "$@"`,
  // As on a terminal, where the answer takes the place of the progress.
  curl: `exec ${programPath('curl')} --no-progress-meter "$@"`,
  // Packages and built services are those of the workspace.
  npm: [
    'case "$*" in',
    '  ci) [ -d node_modules ] ;;',
    '  "run build") [ -e dist/apps/stowctl/main.js ] ;;',
    // Without the build before it.
    `  "run demo"*) shift 2; [ "\${1-}" != -- ] || shift; exec ${process.execPath} --import tsx tools/demo/main.ts "$@" ;;`,
    `  *) exec ${programPath('npm')} "$@" ;;`,
    'esac',
  ].join('\n'),
  // A service that a page starts has a terminal of its own: the next line is for another one.
  node: [
    'case "$*" in',
    '  *--help*|*--check-config*|*--dry-run*|*stowctl*) ;;',
    '  dist/apps/*/main.js*)',
    '    log=$(mktemp)',
    `    ${process.execPath} "$@" >"$log" 2>&1 &`,
    '    tries=0',
    '    until grep -q \'"msg":"ready"\' "$log"; do',
    '      kill -0 $! && [ $tries -lt 300 ] || { cat "$log"; exit 1; }',
    '      sleep 0.1; tries=$((tries + 1))',
    '    done',
    '    cat "$log"',
    '    exit 0 ;;',
    'esac',
    `exec ${process.execPath} "$@"`,
  ].join('\n'),
});

const programPath = (name: string): string =>
  execFileSync('sh', ['-c', 'command -v "$1"', 'sh', name], { encoding: 'utf8' }).trim();

export interface DeskOptions {
  /** A folder that it makes, and fills. */
  readonly dir: string;
  /** What the machine is called. */
  readonly node: string;
  /** Folders of the node. */
  readonly seen?: readonly Seen[];
  readonly env?: Readonly<Record<string, string>>;
  /** More programs, each by its text in shell. */
  readonly programs?: Readonly<Record<string, string>>;
}

/** Where somebody sits who types what a page shows: a clean clone, programs, and a node. */
export class Desk {
  readonly checkout: string;
  readonly #options: ThrowawayOptions;

  constructor({ dir, node, seen = [], env = {}, programs = {} }: DeskOptions) {
    this.checkout = path.join(dir, 'stowage');
    const bin = path.join(dir, 'bin');
    mkdirSync(bin, { recursive: true });
    makeCheckout(this.checkout);
    for (const [name, text] of Object.entries({ ...usual(this.checkout, node), ...programs })) {
      const file = path.join(bin, name);
      writeFileSync(file, `#!/bin/sh\n${text}\n`);
      chmodSync(file, 0o755);
    }
    const search = `${bin}:${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
    this.#options = { folder: this.checkout, seen, env: { HOME: '/root', ...env, PATH: search } };
  }

  /** A shell for a text that does not end by itself. */
  open(text: string, more: Partial<ThrowawayOptions> = {}): ThrowawayShell {
    return new ThrowawayShell(text, this.#with(more));
  }

  /** Runs commands in one shell. */
  run(
    commands: readonly string[],
    more: Partial<ThrowawayOptions> = {},
  ): Promise<{ readonly printed: readonly Printed[] } & Ended> {
    return runCommands(commands, this.#with(more));
  }

  /**
   * Starts a command on the machine itself, in a group of its own, for what cleans up after itself.
   */
  spawn(command: string): ChildProcessByStdio<null, Readable, Readable> {
    const { env = {}, folder } = this.#options;
    // Without a shell around it, which Ctrl-C would end at once.
    return spawn('sh', ['-c', `exec ${command}`], {
      cwd: folder,
      detached: true,
      env: { ...process.env, ...env, TSX_TSCONFIG_PATH: path.join(folder, 'tsconfig.json') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** What has changed in the clone; empty when nothing has. */
  changes(): string {
    const git = ['-c', 'safe.directory=*', '-C', this.checkout, 'status', '--porcelain'];
    return execFileSync('git', git, { encoding: 'utf8' });
  }

  #with({ env = {}, seen = [], ...more }: Partial<ThrowawayOptions>): ThrowawayOptions {
    return {
      ...this.#options,
      ...more,
      seen: [...(this.#options.seen ?? []), ...seen],
      env: { ...this.#options.env, ...env },
    };
  }
}
