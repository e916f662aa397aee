// Starts a Docker Engine with a container, names both, and dies as of a crash.
import { startStack } from '../src';

void (async () => {
  const stack = await startStack({ docker: {}, nats: false });
  const { reference } = await stack.pushImage({ name: 'team/app' });
  await stack.docker.api(
    'POST',
    `/images/create?fromImage=${reference.replace(/:latest$/, '')}&tag=latest`,
  );
  const { Id } = (await stack.docker.api('POST', '/containers/create', {
    Image: reference,
    Cmd: ['sleep', '1000'],
  })) as { Id: string };
  await stack.docker.api('POST', `/containers/${Id}/start`);
  process.stdout.write(JSON.stringify({ id: stack.id, containerId: Id }), () =>
    process.kill(process.pid, 'SIGKILL'),
  );
})();
