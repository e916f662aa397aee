import { version } from './version';

const argv = process.argv.slice(2);

// Whoever asks for the version waits for nothing else to be loaded.
if (argv.length === 1 && argv[0] === '--version') {
  process.stdout.write(`stowctl ${version()}\n`);
} else {
  void import('./run').then(({ run }) => run(argv));
}
