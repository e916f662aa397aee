import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const project = path.resolve(__dirname, '../..');

/** The machine-readable copyright file of the package. */
export function copyright(nodeVersion: string): string {
  return [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/',
    'Upstream-Name: Stowage',
    '',
    'Files: *',
    'Copyright: The Stowage authors',
    'License: Apache-2.0',
    '',
    'Files: usr/lib/stowage/bin/node',
    'Copyright: Node.js contributors, and those of the software in it',
    'License: Expat and others',
    'Comment:',
    ` Node.js ${nodeVersion}; all of its licences are in`,
    ' /usr/share/doc/stowage/node-licence.gz',
    '',
    'Files: usr/lib/stowage/apps/*',
    'Copyright: The Stowage authors, and those of the npm packages in the bundles',
    'License: Apache-2.0 and others',
    'Comment:',
    ' The packages with their licences are in',
    ' /usr/share/doc/stowage/third-party-licences.gz',
    '',
    'License: Apache-2.0',
    ' On Debian systems the text is in /usr/share/common-licenses/Apache-2.0',
    '',
  ].join('\n');
}

interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
}

/**
 * Every npm package that the services are made of (all that are no tools of development), with the
 * text of its licence.
 */
export function thirdPartyLicences(): string {
  const lock = JSON.parse(readFileSync(path.join(project, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  const chapters = Object.entries(lock.packages)
    .filter(([folder, { dev, devOptional }]) => {
      const isTool = dev === true || devOptional === true;
      return folder !== '' && !isTool && existsSync(path.join(project, folder));
    })
    .map(([folder, { version = '', license = 'see its text' }]) => {
      const name = folder.replace(/^.*node_modules\//, '');
      return `${name} ${version}\nLicence: ${license}\n\n${licenceText(path.join(project, folder))}`;
    });
  return chapters.join(`\n${'-'.repeat(72)}\n\n`);
}

/** Texts of a package's licence, or where it says so instead. */
function licenceText(folder: string): string {
  const files = readdirSync(folder)
    .filter((name) => /^(licen[cs]e|copying|notice)(\b|_|$)/i.test(name))
    .sort();
  const texts = files.map((name) => readFileSync(path.join(folder, name), 'utf8').trim());
  return `${texts.join('\n\n') || 'The package has no file with its licence.'}\n`;
}
