// Status requests with odd bytes, to a real containerd and to the read-only socket in front of it:
// `npm run soak -- hostile-requests [REQUESTS [SEED]]`. The short form is in
// readonly-socket.it.spec.ts.
import { startStack } from '@stowage/testing';
import { absentNats, GatewayProcess } from './gateway-process';
import { sendHostileRequests } from './hostile-requests';

const [count = 200_000, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);

async function main(): Promise<void> {
  console.log(`${count} requests, seed ${seed}`);
  const stack = await startStack({ nats: false });
  const gateway = new GatewayProcess(stack, { node: 'node-1', natsUrl: absentNats });
  try {
    const { reference } = await stack.pushImage({ name: 'team/app', tag: '1' });
    const pod = await stack.runPod({ image: reference });
    await gateway.start({ env: { STOWAGE_LOG_LEVEL: 'warn' } });
    const report = await sendHostileRequests({
      ...pod,
      image: reference,
      runtimeSocket: stack.runtime.socket,
      readonlySocket: gateway.readonlySocket,
      count,
      seed,
      say: (line) => console.log(line),
    });
    console.log(JSON.stringify(report, undefined, 2));
    if (report.problems.length > 0 || report.sent < count) process.exitCode = 1;
  } finally {
    await gateway.end();
    await stack.down();
  }
}

void main();
