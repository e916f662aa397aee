import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { requirePrerequisites, Terminal } from '@stowage/testing';

/** The completions of stowctl in the shells that they are for. */

const program = path.resolve(__dirname, '../dist/apps/stowctl/main.js');
let home: string;
let shell: Terminal;

beforeAll(() => requirePrerequisites(['tmux', 'zsh', 'fish'], { root: false }));

beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'stowctl-shell-'));
  mkdirSync(path.join(home, 'bin'));
  symlinkSync(program, path.join(home, 'bin/stowctl'));
});

afterEach(async () => {
  await shell.close();
  rmSync(home, { recursive: true, force: true });
});

const zsh = {
  start: 'exec zsh -f',
  prompt: 'PROMPT="ready> "; clear',
  setUp: 'autoload -Uz compinit; compinit -u -D',
};

it.each([
  ['bash', ['exec bash --norc', '. <(stowctl completion bash)', 'PS1="ready> "; clear']],
  ['zsh', [zsh.start, zsh.setUp, 'source <(stowctl completion zsh)', zsh.prompt]],
  [
    'zsh, as a file of a folder in its fpath',
    [
      ...[zsh.start, 'mkdir functions; stowctl completion zsh >functions/_stowctl'],
      ...['fpath=($PWD/functions $fpath)', zsh.setUp, zsh.prompt],
    ],
  ],
  [
    'fish',
    [
      ...['exec fish --no-config', 'stowctl completion fish | source'],
      'function fish_prompt; echo "ready> "; end; clear',
    ],
  ],
])('%s completes commands, flags and their values', async (_shell, lines) => {
  shell = await Terminal.open({ columns: 100, rows: 30, env: { HOME: home } });
  await shell.run(`cd; PATH="$PWD/bin:${path.dirname(process.execPath)}:$PATH"; export PATH`);
  for (const line of lines) await shell.run(line);
  await shell.shows(/^ready> *$/m);
  for (const [typed, completed] of [
    ['stowctl gc ', 'stowctl gc run'],
    ['stowctl stat', 'stowctl status'],
    ['stowctl images --sort si', 'stowctl images --sort size'],
    ['stowctl images --unu', 'stowctl images --unused'],
    ['stowctl -o ya', 'stowctl -o yaml'],
  ] as const) {
    await shell.type(typed);
    await shell.press('Tab');
    await shell.shows(new RegExp(`^ready> ${completed} *$`, 'm'));
    await shell.press('C-u');
    await shell.shows(/^ready> *$/m);
  }
});
