import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { enableBridgeNetfilter } from './host-bridge';

it('lets the packet filter see bridges where the kernel can, and logs where it cannot', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'host-bridge-'));
  try {
    const ipv4 = path.join(folder, 'bridge-nf-call-iptables');
    writeFileSync(ipv4, '0');
    const logged: object[] = [];
    await enableBridgeNetfilter(
      { warn: (fields) => logged.push(Object(fields) as object) },
      folder,
    );
    expect(readFileSync(ipv4, 'utf8')).toBe('1');
    expect(logged).toMatchObject([{ sysctl: 'net.bridge.bridge-nf-call-ip6tables' }]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
