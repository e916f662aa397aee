/**
 * Tries the package on fresh systems: `npm run package:check`. Each suite of Debian is a root
 * folder that debootstrap fills once; a trial works on a copy that is gone afterwards. Exit code 1
 * when something did not hold.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { errorMessage } from '@stowage/errors';
import { withLock } from '@stowage/testing';
import { lockOfRoots, makeDebianRoot } from '../matrix/roots';
import type { Entered } from '../matrix/enter';
import { runTrial } from './run-trial';

const suites: Readonly<Record<string, string>> = { debian12: 'bookworm', debian13: 'trixie' };

/** What a host has on which the package is of use, and troff for the manual pages. */
const packages = ['containerd', 'groff-base', 'iproute2', 'runc', 'systemd'];

const help = `usage: npm run package:check [-- OPTION ... [NAME ...]]

Installs the package on a fresh Debian, runs it by its units, upgrades it, removes it, purges it.

names, all unless named: ${Object.keys(suites).join(', ')}

options:
  --mirror URI   of Debian; default: that of apt's configuration
  --dir FOLDER   where the roots lie; default: /var/tmp/stowage-packages. Some 500 MB each; may be removed at any time
`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const stop = new AbortController();
const now: { step?: Entered } = {};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stop.abort(new Error('interrupted'));
    void now.step?.stop();
  });
}

async function step(title: string, log: string, entered: Entered): Promise<void> {
  now.step = entered;
  const code = await entered.ended.finally(() => (now.step = undefined));
  stop.signal.throwIfAborted();
  if (code === 0) return;
  const end = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-20).join('\n');
  throw new Error(`${title} ended with ${code}:\n${end}`);
}

async function tryOn(name: string, dir: string, mirror: string | undefined): Promise<boolean> {
  const root = path.join(dir, name);
  const log = path.join(dir, `${name}.log`);
  closeSync(openSync(log, 'w'));
  const suite = suites[name] ?? '';
  await makeDebianRoot({ root, suite, mirror, packages, tools: [] }, (title, start) => {
    say(`${name}: ${title} ...`);
    return step(title, log, start(log));
  });
  say(`${name}: trial ...`);
  const { version } = JSON.parse(
    readFileSync(path.resolve(__dirname, '../../package.json'), 'utf8'),
  ) as { version: string };
  const epoch = Math.floor(Date.now() / 1000);
  const { code, output } = await runTrial(root, { version, epoch }, { stop: stop.signal });
  say(output.trimEnd());
  stop.signal.throwIfAborted();
  return code === 0;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      mirror: { type: 'string' },
      dir: { type: 'string', default: '/var/tmp/stowage-packages' },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.filter((name) => !Object.hasOwn(suites, name));
  if (values.help || unknown.length > 0) {
    say(unknown.length > 0 ? `${unknown.join(', ')}: not known\n${help}` : help);
    return values.help ? 0 : 64;
  }
  const dir = path.resolve(values.dir);
  if (!existsSync(dir)) mkdirSync(dir, { recursive: true, mode: 0o755 });
  const failed: string[] = [];
  await withLock(lockOfRoots(dir), async () => {
    for (const name of positionals.length > 0 ? positionals : Object.keys(suites)) {
      if (!(await tryOn(name, dir, values.mirror))) failed.push(name);
    }
  });
  say(failed.length > 0 ? `failed: ${failed.join(', ')}` : 'all is well');
  return failed.length > 0 ? 1 : 0;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`package:check: ${errorMessage(error)}\n`);
    process.exit(1);
  },
);
