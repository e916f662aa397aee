import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { shapeOf } from '../../doc-blocks/shape';

/** A command of a page, with what the page says that it prints. */
interface Shown {
  readonly command: string;
  readonly output: readonly string[];
}

/**
 * Somebody who types what a page shows, one command after the other and nothing else, in a folder
 * with the packages that its first command builds.
 */
export class Page {
  readonly #folder: string;

  /**
   * @param debs folder with `page.json`, and `built` with the packages under the names that the
   * page has
   * @param scratch folder in which it remembers what was typed, also for other processes
   */
  constructor(
    private readonly debs: string,
    scratch: string,
  ) {
    this.#folder = path.join(scratch, 'checkout');
    if (existsSync(this.#folder)) return;
    mkdirSync(path.join(this.#folder, 'bin'), { recursive: true });
    copyFileSync(path.join(debs, 'page.json'), this.#leftFile);
    for (const [name, text] of Object.entries({
      sudo: 'exec "$@"',
      // Built where there are sources.
      npm: `[ "$*" = "run package:deb" ] && mkdir -p dist/debian && cp ${debs}/built/*-1_*.deb dist/debian`,
    })) {
      const file = path.join(this.#folder, 'bin', name);
      writeFileSync(file, `#!/bin/sh\n${text}\n`);
      chmodSync(file, 0o755);
    }
  }

  get #leftFile(): string {
    return path.join(this.#folder, 'left.json');
  }

  /** Brings a revision of the package, as if it had been fetched. */
  bring(revision: number): void {
    const built = path.join(this.debs, 'built');
    for (const name of readdirSync(built).filter((file) => file.includes(`-${revision}_`))) {
      copyFileSync(path.join(built, name), path.join(this.#folder, name));
    }
  }

  /**
   * Types the next command, and says yes where it is asked. What the page shows has the same tables
   * and the same other lines.
   *
   * @param expected what the command is to be
   */
  type(expected: RegExp): void {
    const [next, ...left] = this.#left;
    const { command: shownCommand = 'the page has no more commands', output = [] } = next ?? {};
    assert.match(shownCommand, expected);
    writeFileSync(this.#leftFile, JSON.stringify(left));
    const command = shownCommand.replaceAll(
      '_amd64.',
      process.arch === 'x64' ? '_amd64.' : '_arm64.',
    );
    const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
      cwd: this.#folder,
      env: { ...process.env, PATH: `${this.#folder}/bin:${process.env.PATH ?? ''}`, LC_ALL: 'C' },
      input: 'y\n',
      encoding: 'utf8',
    });
    assert.equal(status, 0, `${command}: ${stdout}${stderr}`);
    const [shown, printed] = [shapeOf(output), shapeOf(stdout.trimEnd().split('\n'))];
    for (const header of shown.headers) {
      assert.ok(
        printed.headers.some((one) => one.join() === header.join()),
        `${command} prints no table of ${header.join()}:\n${stdout}`,
      );
    }
    if (shown.headers.length === 0) {
      for (const line of shown.lines) assert.ok(printed.lines.includes(line), stdout);
    }
  }

  /** Commands that nobody has typed. */
  get left(): readonly string[] {
    return this.#left.map(({ command }) => command);
  }

  get #left(): readonly Shown[] {
    return JSON.parse(readFileSync(this.#leftFile, 'utf8')) as Shown[];
  }
}
