import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const workspace = path.resolve(__dirname, '../../..');

/**
 * Copies the bundle of a service into a folder, where it says that it is of another version, and
 * returns the file to start.
 */
export function copyWithVersion(app: string, folder: string, version: string): string {
  cpSync(path.join(workspace, 'dist', 'apps', app), folder, { recursive: true });
  const built = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.js'))) {
    const file = path.join(folder, name);
    const code = readFileSync(file, 'utf8');
    writeFileSync(file, code.replaceAll(JSON.stringify(built.version), JSON.stringify(version)));
  }
  return path.join(folder, 'main.js');
}
