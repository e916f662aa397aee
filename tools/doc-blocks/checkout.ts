import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { root } from './markdown';

/** What lies in a work tree and is in no commit. */
const uncommitted = /^(node_modules|dist|coverage|\.nx|\.git)$/;

const trusted = {
  GIT_CONFIG_COUNT: '1',
  GIT_CONFIG_KEY_0: 'safe.directory',
  GIT_CONFIG_VALUE_0: '*',
};

/**
 * Makes a clean clone of this repository, as its commit has it. The steps that every page begins
 * with, `npm ci` and `npm run build`, are done by what lies here: npm packages and built services.
 * Where this is no clone itself, all files are copied that a build does not write.
 *
 * @param folder is made, and must not be there.
 */
export function makeCheckout(folder: string): void {
  if (existsSync(path.join(root, '.git'))) {
    // Who clones may be another one than whose files these are.
    execFileSync('git', ['clone', '--quiet', '--no-hardlinks', root, folder], {
      env: { ...process.env, ...trusted },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  } else {
    cpSync(root, folder, {
      recursive: true,
      filter: (file) => !uncommitted.test(path.relative(root, file)),
    });
    // So that git can say what has changed.
    const author = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
    const git = (...args: string[]) => execFileSync('git', [...author, '-C', folder, ...args]);
    git('init', '--quiet');
    git('add', '--all');
    git('commit', '--quiet', '--message', 'what is checked out');
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  mkdirSync(path.join(folder, 'dist'));
  symlinkSync(path.join(root, 'dist/apps'), path.join(folder, 'dist/apps'));
}
