import { Parser } from '@asyncapi/parser';
import Ajv from 'ajv';
import addFormats from 'ajv-formats';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { eventNames } from '../src';
import { breakingChanges } from './compatibility';
import { referenceFiles } from './files';
import {
  dataSchema,
  exampleMessage,
  messageSchema,
  schemaFile,
  type JsonSchema,
} from './message-schema';

const root = path.join(__dirname, '../../..');
const released = path.join(__dirname, '../released');
const files = referenceFiles();

describe('the committed reference', () => {
  it.each([...files.keys()])('%s is what the schemas say (else run `npm run gen`)', (file) => {
    expect(readFileSync(path.join(root, file), 'utf8') === files.get(file)).toBe(true);
  });
});

describe('JSON Schema', () => {
  const ajv = new Ajv({ strict: true, allErrors: true });
  addFormats(ajv);

  it.each(eventNames)('%s: a strict validator takes the schema and the example', (name) => {
    const validate = ajv.compile(messageSchema(name));
    expect(validate(JSON.parse(JSON.stringify(exampleMessage(name))))).toBe(true);
    expect(validate({ ...exampleMessage(name), data: {} })).toBe(false);
    expect(validate({ ...exampleMessage(name), sequence: 1 })).toBe(false);
    expect(validate({ ...exampleMessage(name), addedattribute: 'x' })).toBe(true);
  });

  it.each(eventNames)('%s: every field has a description', (name) => {
    const bare: string[] = [];
    const visit = (schema: JsonSchema, at: string) => {
      if (schema.description === undefined) bare.push(at);
      for (const [key, inner] of Object.entries(schema.properties ?? {}))
        visit(inner, `${at}.${key}`);
      for (const [key, inner] of Object.entries(schema.items?.properties ?? {})) {
        visit(inner, `${at}[].${key}`);
      }
    };
    visit(messageSchema(name), name);
    expect(bare).toEqual([]);
  });
});

describe('AsyncAPI', () => {
  it('is valid AsyncAPI 3 to the AsyncAPI parser, with every event', async () => {
    const yaml = files.get('docs/reference/asyncapi.yaml') ?? '';
    const { document, diagnostics } = await new Parser().parse(yaml);
    const errors = diagnostics.filter(({ severity }) => severity.valueOf() === 0);
    expect(errors.map(({ message, path: at }) => `${at.join('.')}: ${message}`)).toEqual([]);
    expect(document?.version()).toBe('3.0.0');
    expect(document?.allMessages().all()).toHaveLength(eventNames.length);
    expect(Object.keys((parse(yaml) as { channels: object }).channels)).toEqual([...eventNames]);
  });
});

describe('released schemas', () => {
  it('are those of the catalogue', () => {
    expect(readdirSync(released).sort()).toEqual(eventNames.map(schemaFile).sort());
  });

  it.each(eventNames)('%s: nothing that consumers build on has changed', (name) => {
    const before = JSON.parse(readFileSync(path.join(released, schemaFile(name)), 'utf8')) as never;
    expect(breakingChanges(before, dataSchema(name), name)).toEqual([]);
  });

  const base: JsonSchema = {
    type: 'object',
    description: 'a',
    properties: {
      kind: { type: 'string', enum: ['x', 'y'] },
      list: {
        type: 'array',
        maxItems: 3,
        items: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] },
      },
      note: { type: 'string' },
    },
    required: ['kind', 'list'],
  };
  const withProperties = (properties: Record<string, JsonSchema>): JsonSchema => ({
    ...base,
    properties: { ...base.properties, ...properties },
  });
  it.each<[string, JsonSchema, string[]]>([
    ['the same schema', base, []],
    ['a new text', { ...base, description: 'b' }, []],
    ['a new optional field', withProperties({ extra: { type: 'string' } }), []],
    [
      'a new required field',
      { ...withProperties({ extra: {} }), required: ['kind', 'list', 'extra'] },
      ['data.extra: new and required'],
    ],
    [
      'a field removed',
      { ...base, properties: { kind: base.properties!.kind!, list: base.properties!.list! } },
      ['data.note: removed'],
    ],
    [
      'required made optional',
      { ...base, required: ['list'] },
      ['data.kind: was required, is optional'],
    ],
    [
      'optional made required',
      { ...base, required: ['kind', 'list', 'note'] },
      ['data.note: was optional, is required'],
    ],
    [
      'another type',
      withProperties({ note: { type: 'integer' } }),
      ['data.note: type was "string", is "integer"'],
    ],
    [
      'a closed list that grew',
      withProperties({ kind: { type: 'string', enum: ['x', 'y', 'z'] } }),
      ['data.kind: enum was ["x","y"], is ["x","y","z"]'],
    ],
    [
      'a new bound',
      withProperties({ note: { type: 'string', maxLength: 5 } }),
      ['data.note: maxLength was absent, is 5'],
    ],
    [
      'a change within a list',
      withProperties({
        list: {
          type: 'array',
          maxItems: 4,
          items: { type: 'object', properties: { n: { type: 'number' } }, required: [] },
        },
      }),
      [
        'data.list: maxItems was 3, is 4',
        'data.list.items.n: type was "integer", is "number"',
        'data.list.items.n: was required, is optional',
      ],
    ],
  ])('%s', (_case, current, findings) => {
    expect(breakingChanges(base, current)).toEqual(findings);
  });
});
