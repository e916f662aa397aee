// Starts a stack with a pod, says so in one line of JSON, and then does what its argument says:
// `wait` to be killed, or `exit` without a word to the stack.
import { startStack } from '../src/index';

async function main(): Promise<void> {
  const stack = await startStack({ filesystemMb: 64 });
  const image = await stack.pushImage({ name: 'team/app' });
  const pod = await stack.runPod({ image: image.reference });
  const found = { id: stack.id, pod, owner: process.pid };
  process.stdout.write(`${JSON.stringify(found)}\n`, () => {
    if (process.argv[2] === 'exit') process.exit(0);
    setInterval(() => undefined, 60_000);
  });
}

void main();
