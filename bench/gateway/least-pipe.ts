import net from 'node:net';

/*
 * The least that a process of Node.js in between can do: what arrives on either side is written to
 * the other and not looked at, and the memory of a read is used again where it may be. What this
 * costs, every forwarder in Node.js costs.
 *
 *   least-pipe.ts SOCKET UPSTREAM
 */

const [, , socket, upstream = ''] = process.argv;
const readBytes = 64 * 1024;

const server = net.createServer((client) => {
  let memory = Buffer.allocUnsafeSlow(readBytes);
  const runtime = net.connect({
    path: upstream,
    onread: {
      buffer: () => memory,
      callback: (length) => {
        if (!client.write(memory.subarray(0, length))) runtime.pause();
        if (client.writableLength > 0) memory = Buffer.allocUnsafeSlow(readBytes);
        return true;
      },
    },
  });
  client.on('data', (chunk) => {
    if (!runtime.write(chunk)) client.pause();
  });
  client.on('drain', () => runtime.resume());
  runtime.on('drain', () => client.resume());
  client.once('close', () => runtime.destroy());
  runtime.once('close', () => client.destroy());
  client.on('error', () => undefined);
  runtime.on('error', () => undefined);
});
server.listen(socket);
