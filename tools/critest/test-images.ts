import type { Stack, TestImage } from '@stowage/testing';

const teamImages = 'k8s-staging-cri-tools';

/** Runs as process 1 until SIGTERM, which a shell otherwise ignores there. */
const untilStopped = 'trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done';

/** Programs that the specs run and Debian's busybox lacks, as far as they are asked for. */
const programs = {
  '/bin/pgrep': `#!/bin/sh\nps -o pid,comm | awk -v n="$1" '$2 == n && $1 != 1 { print $1 }'\n`,
  '/bin/ipcs': '#!/bin/sh\ncat /proc/sysvipc/shm\n',
};

/**
 * A web server that shows itself as the specs expect nginx to: its process, its process number, its
 * page.
 */
const nginx = (port: number): Pick<TestImage, 'files' | 'command'> => ({
  files: {
    '/usr/sbin/nginx': `#!/bin/sh\necho $$ > /var/run/nginx.pid\nhttpd -p ${port} -h /www\n${untilStopped}\n`,
    '/www/index.html': '<html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1></html>\n',
  },
  command: ['/usr/sbin/nginx', 'master process'],
});

const httpd: Pick<TestImage, 'files' | 'command'> = {
  files: {
    '/bin/run-httpd': "#!/bin/sh\necho 'httpd -D FOREGROUND'\nexec httpd -f -p 80 -h /www\n",
    '/www/index.html': '<html><h1>It works!</h1></html>\n',
  },
  command: ['/bin/run-httpd'],
};

const groups = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000::/:/bin/sh\n',
  '/etc/group':
    'root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\nnobody:x:65534:\n',
};

/** Something that makes the image another one. */
const own = (text: string): Pick<TestImage, 'files'> => ({ files: { '/which': text } });

/**
 * Images under the names that critest asks registry.k8s.io and gcr.io for, for which the stack's
 * open registry stands in. Two cannot be made here: the one named by the digest of its content, and
 * the one with a set-uid program.
 */
export function testImages(arch: string = process.arch): TestImage[] {
  const goArch = { x64: 'amd64', arm64: 'arm64' }[arch] ?? arch;
  return [
    { name: 'e2e-test-images/busybox', tag: '1.29-2', command: ['sh'], files: programs },
    { name: 'e2e-test-images/nginx', tag: '1.14-2', ...nginx(80) },
    { name: 'e2e-test-images/httpd', tag: '2.4.39-4', ...httpd },
    { name: `${teamImages}/hostnet-nginx-${goArch}`, ...nginx(12003) },
    ...['1', '2', '3'].map((one) => ({ name: `${teamImages}/test-image-${one}`, ...own(one) })),
    { name: `${teamImages}/test-image-tags`, tag: ['1', '2', '3'], ...own('tags') },
    { name: `${teamImages}/test-image-latest`, ...own('latest') },
    { name: `${teamImages}/test-image-tag`, tag: 'test', ...own('test') },
    { name: `${teamImages}/test-image-tag`, tag: 'all', ...own('all') },
    { name: `${teamImages}/test-image-predefined-group`, files: groups },
    ...Object.entries({
      uid: '1002',
      username: 'www-data',
      'uid-group': '1003:1003',
      'username-group': 'www-data:www-data',
    }).map(([kind, user]) => ({
      name: `${teamImages}/test-image-user-${kind}`,
      user,
      ...own(kind),
    })),
  ];
}

/** Pushes {@link testImages} to the open registry of the stack. */
export async function pushTestImages(stack: Stack): Promise<void> {
  for (const image of testImages()) await stack.pushImage(image);
}
