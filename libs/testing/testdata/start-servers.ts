// Starts the parts of a stack named by its arguments, prints their addresses or the error, and
// takes them down.
import { startStack } from '../src/index';

async function main(): Promise<void> {
  const parts = process.argv.slice(2);
  const stack = await startStack({
    containerd: parts.includes('containerd'),
    registries: parts.includes('registries'),
    nats: parts.includes('nats'),
  });
  const image = await stack.pushImage({ name: 'team/app', to: 'auth' });
  const { id, nats } = stack;
  await stack.down();
  process.stdout.write(JSON.stringify({ id, natsUrl: nats.url, digest: image.digest }));
}

main().catch((error: unknown) => {
  process.stdout.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
