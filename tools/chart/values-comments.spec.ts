import Ajv from 'ajv';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { configOf } from '../app-folders';
import { chartApps, chartFolder } from './chart';
import { describeValues } from './values-comments';
import { renderValuesPage } from './values-page';
import { valuesSchema } from './values-schema';

const root = path.resolve(__dirname, '../..');

const text = `
# About the file.

# What it does.
# In two lines.
# @allowed on, off
mode: on

nats:
  # Where they are.
  # @urls
  servers: []
  port: 4222
# @labels
labels:
  a: b
`;

describe('values with comments', () => {
  it('have a meaning, rules and a default', () => {
    const [mode, nats, labels] = describeValues(text);
    expect(mode).toMatchObject({
      path: 'mode',
      meaning: 'What it does. In two lines.',
      value: 'on',
    });
    expect([...(mode?.rules ?? [])]).toEqual([['allowed', 'on, off']]);
    expect(nats?.children).toMatchObject([
      { path: 'nats.servers', meaning: 'Where they are.', value: [] },
      { path: 'nats.port', meaning: '', value: 4222 },
    ]);
    // A mapping with a rule of its own is one value.
    expect(labels).toMatchObject({ path: 'labels', value: { a: 'b' }, children: undefined });
  });

  it('are refused without a default', () => {
    expect(() => describeValues('a:\n')).toThrow('values.yaml: a has no default');
  });

  it.each([
    ['a: []', 'values.yaml: a needs a rule that says what it may have'],
    ['# @nothing\na: b', 'values.yaml: a has the rule @nothing, which is none'],
    ['# @config nobody\na: {}', 'values.yaml: there is no app nobody'],
  ])('make no schema: %j', (values, message) => {
    expect(() => valuesSchema(describeValues(values), [])).toThrow(message);
  });

  it('stand in the page, each with what it may have', () => {
    const page = renderValuesPage(describeValues(text));
    expect(page).toContain('| `mode` | `on` | on, off | What it does. In two lines. |');
    expect(page).toContain('| `nats.port` | `4222` | number |  |');
    expect(page).toContain('| `labels` | `{"a":"b"}` | text by name |  |');
  });
});

describe('the schema of the chart', () => {
  const values = readFileSync(path.join(root, chartFolder, 'values.yaml'), 'utf8');

  const validator = async () => {
    const definitions = await Promise.all(chartApps.map(configOf));
    return new Ajv({ strict: false }).compile(valuesSchema(describeValues(values), definitions));
  };

  it('takes the defaults', async () => {
    const validate = await validator();
    expect([validate(parse(values)), validate.errors]).toEqual([true, null]);
  });

  it('knows the keys of each service by its own configuration', async () => {
    const validate = await validator();
    expect(validate({ gcWorker: { config: { removalOrder: 'cost' } } })).toBe(true);
    expect(validate({ gcWorker: { config: { removalOrder: 'random' } } })).toBe(false);
    expect(validate({ imageService: { config: { removalOrder: 'cost' } } })).toBe(false);
    expect(validate({ config: { logLevel: 'debug' } })).toBe(true);
    expect(validate({ config: { removalOrder: 'cost' } })).toBe(false);
  });

  it('leaves to the chart what it sets itself', async () => {
    const validate = await validator();
    for (const name of ['nodeName', 'stateDir', 'natsServers', 'stopTimeout']) {
      expect([name, validate({ config: { [name]: 'x' } })]).toEqual([name, false]);
    }
  });
});
