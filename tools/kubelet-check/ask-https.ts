import { request, type RequestOptions } from 'node:https';

/**
 * The answer of a server on the loopback that has a certificate of its own making. Rejects when
 * there is none.
 */
export function askHttps(
  options: RequestOptions & { readonly port: number; readonly timeoutMs: number },
  text = '',
): Promise<{ status: number; body: string }> {
  const { timeoutMs, ...rest } = options;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        ...{ host: '127.0.0.1', agent: false, rejectUnauthorized: false },
        signal: AbortSignal.timeout(timeoutMs),
        ...rest,
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: Buffer.concat(parts).toString('utf8'),
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });
}
