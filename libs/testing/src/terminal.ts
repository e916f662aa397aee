import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { claimKeeper, type KeeperClaim } from './cleanup/keeper';
import { ownerMarker } from './cleanup/processes';
import { eventually } from './eventually';
import { requirePrerequisites } from './prerequisites';
import { searchPath } from './run-program';

const runFile = promisify(execFile);

/** How a terminal is opened. */
export interface TerminalOptions {
  /** Default 80. */
  columns?: number;
  /** Default 24. */
  rows?: number;
  /** Comes on top of this process's environment, without its variables that begin with STOWAGE_. */
  env?: Readonly<Record<string, string>>;
}

/** What the program in a terminal has asked of it. */
export interface TerminalModes {
  readonly isCursorShown: boolean;
  /** Whether the other screen is shown, which full-screen programs use. */
  readonly isOnOtherScreen: boolean;
  readonly wrapsLines: boolean;
}

/** Lines of the configuration: the pane is the whole terminal, whose size is that of the window. */
const configuration = [
  'set -g status off',
  'set -g default-terminal screen-256color',
  'set -g escape-time 0',
  '',
].join('\n');

/**
 * A terminal with a shell in it, for what programs do on one: tmux without anybody in front of it.
 * It ends with `close()`, or with this process.
 */
export class Terminal {
  private constructor(
    private readonly dir: string,
    private readonly keeper: KeeperClaim,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  /** @throws {MissingPrerequisitesError} when the machine has no tmux. */
  static async open({
    columns = 80,
    rows = 24,
    env = {},
  }: TerminalOptions = {}): Promise<Terminal> {
    requirePrerequisites(['tmux'], { root: false });
    const keeper = claimKeeper();
    const dir = mkdtempSync(path.join(tmpdir(), 'stowage-terminal-'));
    const inherited = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('STOWAGE_') && !['TMUX', 'NO_COLOR', 'ENV'].includes(name),
    );
    const terminal = new Terminal(dir, keeper, {
      ...Object.fromEntries(inherited),
      ...{ PATH: searchPath().join(':'), PS1: '$ ', LANG: 'C.UTF-8', TERM: 'dumb', ...env },
      [ownerMarker]: keeper.token,
    });
    try {
      writeFileSync(path.join(dir, 'tmux.conf'), configuration);
      const size = ['-x', String(columns), '-y', String(rows)];
      await terminal.#tmux('new-session', '-d', '-s', 'test', ...size, '/bin/sh');
      await terminal.#tmux('pipe-pane', '-t', 'test', `cat >>'${path.join(dir, 'output')}'`);
      return terminal;
    } catch (error) {
      await terminal.close();
      throw error;
    }
  }

  async type(text: string): Promise<void> {
    await this.#tmux('send-keys', '-t', 'test', '-l', '--', text);
  }

  /** Types a line and presses Enter. */
  async run(line: string): Promise<void> {
    await this.type(line);
    await this.press('Enter');
  }

  /** Presses keys by tmux's names: `q`, `C-c`, `Enter`. */
  async press(...keys: string[]): Promise<void> {
    await this.#tmux('send-keys', '-t', 'test', ...keys);
  }

  async resize(columns: number, rows: number): Promise<void> {
    const size = ['-x', String(columns), '-y', String(rows)];
    await this.#tmux('resize-window', '-t', 'test', ...size);
  }

  /** The lines that are on the screen, without spaces at their ends. */
  async screen(): Promise<string[]> {
    return (await this.#tmux('capture-pane', '-p', '-t', 'test')).replace(/\n$/, '').split('\n');
  }

  async modes(): Promise<TerminalModes> {
    const format = '#{cursor_flag} #{alternate_on} #{wrap_flag}';
    const flags = (await this.#tmux('display-message', '-p', '-t', 'test', format)).trim();
    const [isCursorShown, isOnOtherScreen, wrapsLines] = flags
      .split(' ')
      .map((flag) => flag === '1');
    return {
      isCursorShown: isCursorShown === true,
      isOnOtherScreen: isOnOtherScreen === true,
      wrapsLines: wrapsLines === true,
    };
  }

  /** Everything that was written to the terminal, escape sequences included. */
  output(): string {
    return readFileSync(path.join(this.dir, 'output'), 'utf8');
  }

  /** Waits until the screen shows a text, and returns its lines. Default limit 30 000 ms. */
  async shows(text: RegExp, { timeoutMs = 30_000 } = {}): Promise<string[]> {
    let lines: string[] = [];
    try {
      await eventually(
        async () => {
          lines = await this.screen();
          return text.test(lines.join('\n'));
        },
        { what: `${text} on the terminal`, timeoutMs },
      );
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`${reason}; it shows:\n${lines.join('\n')}`, { cause: error });
    }
    return lines;
  }

  async close(): Promise<void> {
    await this.#tmux('kill-server').catch(() => undefined);
    rmSync(this.dir, { recursive: true, force: true });
    await this.keeper.release();
  }

  async #tmux(...args: string[]): Promise<string> {
    const file = (name: string): string => path.join(this.dir, name);
    const server = ['-u', '-S', file('socket'), '-f', file('tmux.conf')];
    // The server takes its environment from whoever starts it.
    return (await runFile('tmux', [...server, ...args], { env: this.env })).stdout;
  }
}
