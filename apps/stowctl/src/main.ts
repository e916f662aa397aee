import { version } from './version';

const [, program = '', ...given] = process.argv;
// kubectl asks a program of this name for the completion of its plugin.
const argv = program.endsWith('/kubectl_complete-stowage') ? ['__complete', ...given] : given;

// Whoever asks for the version waits for nothing else to be loaded.
if (argv.length === 1 && argv[0] === '--version') {
  process.stdout.write(`stowctl ${version()}\n`);
} else {
  void import('./run').then(({ run }) => run(argv));
}
