// `node tools/complete-lockfile.mjs [--check]`: adds the optional packages of other platforms that
// are absent from package-lock.json, or only names them and exits 1.
//
// Where a registry mirror lacks them, `npm install` leaves them out of the lock file without a
// word, and then `npm ci` refuses the lock file everywhere. They stand here with version and
// platform and without a checksum: Linux on x64 and arm64, which Stowage is for, never installs
// them.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const file = path.resolve(import.meta.dirname, '../package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8'));

const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const processors = { armv7: 'arm' };
for (const name of ['arm', 'arm64', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64']) {
  processors[name] = name;
}

/** The platform that the name of a package ends with, as in `@swc/core-linux-arm64-musl`. */
function platformOf(name) {
  const words = name.split('/').pop().split('-');
  const os = words.find((word) => systems.includes(word));
  const cpu = processors[words[words.indexOf(os) + 1]];
  if (os === undefined || cpu === undefined) throw new Error(`no platform in the name ${name}`);
  const isMusl = words.some((word) => word.startsWith('musl'));
  const isGlibc = words.some((word) => word.startsWith('gnu'));
  const libc = isMusl ? ['musl'] : isGlibc ? ['glibc'] : undefined;
  return { cpu: [cpu], ...(libc && { libc }), os: [os] };
}

/** Where Node.js would find a dependency of the package at this place in node_modules. */
function placeOf(dependent, name) {
  for (let at = dependent; ; at = at.slice(0, Math.max(at.lastIndexOf('/node_modules/'), 0))) {
    const place = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
    if (place in lock.packages) return place;
    if (at === '') return undefined;
  }
}

const missing = {};
for (const [dependent, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (placeOf(dependent, name) !== undefined) continue;
    const entry = { version, ...platformOf(name), ...(dev && { dev }), optional: true };
    missing[`node_modules/${name}`] = entry;
  }
}
const names = Object.keys(missing);
if (names.length === 0) process.exit(0);
if (process.argv.includes('--check')) {
  process.stderr.write(
    `package-lock.json lacks ${names.length} optional packages, so npm ci refuses it; ` +
      `run node tools/complete-lockfile.mjs: ${names.join(', ')}\n`,
  );
  process.exit(1);
}
const { '': workspace, ...packages } = lock.packages;
const sorted = Object.entries({ ...packages, ...missing }).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = { '': workspace, ...Object.fromEntries(sorted) };
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`added ${names.length} packages to package-lock.json\n`);
