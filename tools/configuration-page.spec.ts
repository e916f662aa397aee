import { commonKeys, defineConfig, enumKey, listenKey } from '@stowage/service-kit';
import { renderConfigurationReference } from './configuration-page';

const definition = defineConfig({
  app: 'gc-worker',
  summary: 'Collects images.',
  keys: {
    ...commonKeys({ httpAddr: ':1', commands: [], allCommands: [] }),
    listen: listenKey('/run/x.sock'),
    order: enumKey({ values: ['age', 'size'], default: 'age', meaning: 'Order.' }),
  },
});

it('has a row for each key, shared ones once', () => {
  const page = renderConfigurationReference([definition, { ...definition, app: 'image-service' }]);
  expect(page.match(/`STOWAGE_NODE_NAME`/g)).toHaveLength(1);
  expect(page.match(/`STOWAGE_LISTEN`/g)).toHaveLength(2);
  expect(page).toContain('| `STOWAGE_ORDER` | `order` | age | age, size | Order. |');
});
