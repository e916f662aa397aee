import { debianMirror } from './mirror';

const sources = (text: string) => [{ name: '/etc/apt/sources.list.d/debian.sources', text }];
const list = (text: string) => [{ name: '/etc/apt/sources.list', text }];

it('reads the mirror of Debian from a file of paragraphs, past security and others', () => {
  const text = `# written by the installer
Types: deb
URIs: http://deb.debian.org/debian-security/
Suites: bookworm-security
Components: main

Types: deb deb-src
# the nearest
URIs: http://mirror.example/debian/
  http://deb.debian.org/debian
Suites: bookworm
  bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`;
  expect(debianMirror(sources(text), 'bookworm')).toBe('http://mirror.example/debian');
});

it('reads it from lines with options and comments', () => {
  const text = `
# deb http://old.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb [arch=amd64 signed-by=/k.gpg] https://download.docker.com/linux/debian bookworm stable
deb-src http://sources.example/debian bookworm main
deb [arch=amd64,arm64 trusted=yes] http://mirror.example/debian bookworm main # ours
`;
  expect(debianMirror(list(text), 'bookworm')).toBe('http://mirror.example/debian');
});

it('prefers the entry of the release that runs, and takes one by the name of a suite else', () => {
  const text = `
deb http://stable.example/debian stable main
deb http://release.example/debian bookworm main
`;
  expect(debianMirror(list(text), 'bookworm')).toBe('http://release.example/debian');
  expect(debianMirror(list(text), 'trixie')).toBe('http://stable.example/debian');
});

it('skips what is switched off, and what is not Debian', () => {
  const text = `Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://archive.ubuntu.com/ubuntu
Suites: noble
Components: main
`;
  expect(debianMirror(sources(text), 'bookworm')).toBeUndefined();
  expect(debianMirror([], 'bookworm')).toBeUndefined();
});
