// Starts a nats-server, names its address and its process, and dies as of a crash.
import { TestNatsServer } from '../src';

void (async () => {
  const { url, pid, dir } = await TestNatsServer.start();
  process.stdout.write(JSON.stringify({ url, pid, dir }), () =>
    process.kill(process.pid, 'SIGKILL'),
  );
})();
