import { billOf } from './bundle';

const bill = {
  bomFormat: 'CycloneDX',
  components: [
    { 'bom-ref': 'better@13', type: 'library', name: 'better' },
    { 'bom-ref': 'file:b.arm64.node', type: 'file', name: 'b.arm64.node' },
    { 'bom-ref': 'file:b.old.node', type: 'file', name: 'b.old.node' },
    { 'bom-ref': 'file:b.x64.node', type: 'file', name: 'b.x64.node' },
    { 'bom-ref': 'sqlite@3.49', type: 'library', name: 'sqlite' },
    { 'bom-ref': 'sqlite@3.50', type: 'library', name: 'sqlite' },
  ],
  dependencies: [
    { ref: 'better@13', dependsOn: ['file:b.arm64.node', 'file:b.old.node', 'file:b.x64.node'] },
    { ref: 'file:b.arm64.node', dependsOn: ['sqlite@3.50'] },
    { ref: 'file:b.old.node', dependsOn: ['sqlite@3.49'] },
    { ref: 'file:b.x64.node', dependsOn: ['sqlite@3.50'] },
    { ref: 'sqlite@3.49' },
    { ref: 'sqlite@3.50' },
  ],
};

const withOnly = (...files: string[]) =>
  JSON.parse(billOf(JSON.stringify(bill), (file) => files.includes(file))) as typeof bill;

it('files that are left out are not in it, nor the SQLite that only they have', () => {
  const { bomFormat, components, dependencies } = withOnly('b.x64.node');
  expect(bomFormat).toBe('CycloneDX');
  expect(components.map((component) => component['bom-ref'])).toEqual([
    'better@13',
    'file:b.x64.node',
    'sqlite@3.50',
  ]);
  expect(dependencies).toEqual([
    { ref: 'better@13', dependsOn: ['file:b.x64.node'] },
    { ref: 'file:b.x64.node', dependsOn: ['sqlite@3.50'] },
    { ref: 'sqlite@3.50' },
  ]);
});

it('of a bundle with all of its files it is the same', () => {
  const text = `${JSON.stringify(bill, null, 2)}\n`;
  expect(billOf(text, () => true)).toBe(text);
});
