import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Where a package may leave something. */
const searched = ['/etc', '/opt', '/run', '/usr', '/var/lib', '/var/spool'];

/**
 * What changes with every use of dpkg and apt, and what is not of the package: their own books,
 * copies of the list of users, files of systemd's own programs, and the runtime that runs
 * meanwhile.
 */
const passedOver =
  /^\/(run\/(containerd|lock|systemd)(\/|$)|var\/lib\/(apt|cni|containerd|docker)(\/|$)|var\/lib\/dpkg\/(status|available|lock|triggers|updates|diversions|statoverride)|etc\/((passwd|group|shadow|gshadow|subuid|subgid)-|\.pwd\.lock)$)/;

/** Files whose content is looked at too. */
const compared = /^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)$/;

/** Every file and folder with mode and owner, and the users and groups, one line each. */
export function tracesOf(): Set<string> {
  const lines = new Set<string>();
  const visit = (file: string): void => {
    if (passedOver.test(file)) return;
    const found = lstatSync(file, { throwIfNoEntry: false });
    if (found === undefined) return;
    const { mode, uid, gid } = found;
    lines.add(`${file} ${mode.toString(8)} ${uid}:${gid}`);
    if (compared.test(file)) {
      for (const line of readFileSync(file, 'utf8').split('\n')) lines.add(`${file}: ${line}`);
    }
    if (found.isDirectory()) for (const name of readdirSync(file)) visit(path.join(file, name));
  };
  for (const folder of searched) visit(folder);
  return lines;
}

/** What one has and the other has not, with + for what came and - for what went. */
export function differences(before: Set<string>, after: Set<string>): string[] {
  return [
    ...[...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`),
    ...[...before].filter((line) => !after.has(line)).map((line) => `- ${line}`),
  ];
}
