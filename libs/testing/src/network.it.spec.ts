import { chooseSubnet, removeEngineLinks, removeLink } from './network';
import { runProgram } from './run-program';

describe('veth pairs that a killed engine has left', () => {
  const ours = `sw${process.pid}a`;
  const another = `sw${process.pid}b`;

  const addPair = (name: string, address: string) =>
    runProgram('ip', ['link', 'add', name, 'address', address, 'type', 'veth', 'peer', `${name}x`]);
  const names = async () => (await runProgram('ip', ['-br', 'link', 'show', 'type', 'veth'])) || '';

  afterEach(async () => {
    await removeLink(ours);
    await removeLink(another);
  });

  it('are removed where their addresses are of the subnet, and no others', async () => {
    const subnet = await chooseSubnet([]);
    const [, second = 0, third = 0] = subnet.split('.').map(Number);
    const hex = (byte: number) => byte.toString(16).padStart(2, '0');
    await addPair(ours, `02:42:0a:${hex(second)}:${hex(third)}:05`);
    await addPair(another, `02:42:0a:${hex(second)}:${hex((third + 1) % 256)}:05`);
    await removeEngineLinks(subnet);
    expect(await names()).not.toContain(ours);
    expect(await names()).toContain(another);
  });

  it('need not be there', async () => {
    await expect(removeEngineLinks(await chooseSubnet([]))).resolves.toBeUndefined();
  });
});
