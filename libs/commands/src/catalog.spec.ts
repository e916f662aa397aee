import * as z from 'zod';
import {
  checkInput,
  checkReply,
  commandApps,
  commandsOf,
  gcWorker,
  imageService,
  isFieldName,
  undocumentedFields,
  verbsOf,
  type CommandDefinition,
} from './index';

const all = commandApps.flatMap((app) => commandsOf(app).map((command) => ({ app, command })));
const cases = all.map(({ app, command }) => [`${app}.${command.verb}`, app, command] as const);

describe('the catalogue', () => {
  it.each(commandApps)('%s: each command stands under its own verb', (app) => {
    const verbs = commandsOf(app).map(({ verb }) => verb);
    expect(new Set(verbs).size).toBe(verbs.length);
    expect(verbsOf(app).allCommands).toEqual(verbs);
  });

  it('changes of a node are answered only where the configuration allows them', () => {
    expect(commandApps.map((app) => [app, verbsOf(app).commands])).toEqual([
      ['runtime-gateway', ['pods', 'status', 'version']],
      ['image-service', ['ensure', 'list', 'pulls', 'stats', 'status']],
      ['gc-worker', ['plan', 'images', 'status']],
      ['docker-shim', ['status']],
    ]);
  });

  it.each(cases)('%s: names its service, and its subject can be written', (_name, app, command) => {
    expect(command.app).toBe(app);
    expect(command.verb).toMatch(/^[a-z][a-z-]*$/);
    expect(command.description).toMatch(/^[A-Z].*\.$/);
  });

  it.each(cases)('%s: its example may be sent and answered', (_name, _app, command) => {
    const { input, reply } = command.example;
    expect(checkInput(command, input)).toHaveProperty('input');
    expect(checkReply(command, reply)).toEqual({ reply });
    expect(undocumentedFields(command, reply)).toEqual([]);
  });

  it.each(cases)('%s: a key that does not exist is refused', (_name, _app, command) => {
    const { input } = command.example as { input: object };
    expect(checkInput(command, { ...input, surprise: 1 })).toMatchObject({
      field: 'request',
      problem: expect.stringMatching(/^unknown key/),
      unknownKey: 'surprise',
    });
  });

  it.each(cases)('%s: fields that are not known are kept', (_name, _app, command) => {
    const reply = { ...(command.example.reply as object), addedLater: { deep: [1] } };
    expect(checkReply(command, reply)).toEqual({ reply });
    expect(undocumentedFields(command, reply)).toEqual(['addedLater']);
  });

  it.each(cases)('%s: every field of input and reply is described', (_name, _app, command) => {
    const schemas = [command.input, command.reply];
    expect(
      schemas.flatMap((schema) => undescribed(z.toJSONSchema(schema) as JsonSchema, '')),
    ).toEqual([]);
  });
});

interface JsonSchema {
  description?: string;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
}

function undescribed({ properties = {}, items, anyOf = [] }: JsonSchema, at: string): string[] {
  return [
    ...(items === undefined ? [] : undescribed(items, `${at}[]`)),
    ...anyOf.flatMap((option) => undescribed(option, at)),
    ...Object.entries(properties).flatMap(([key, schema]) => {
      const field = `${at}.${key}`;
      const texts = [schema, ...(schema.anyOf ?? [])].map(({ description = '' }) => description);
      return [...(texts.some((text) => text !== '') ? [] : [field]), ...undescribed(schema, field)];
    }),
  ];
}

describe('what is wrong with an input', () => {
  it.each<[string, CommandDefinition, unknown, object]>([
    [
      'a missing key',
      imageService.status,
      {},
      { field: 'image', problem: 'Invalid input: expected string, received undefined' },
    ],
    [
      'a value out of range, which is not quoted',
      imageService.ensure,
      { image: 'hunter2'.repeat(1000) },
      { field: 'image', problem: 'Too big: expected string to have <=4096 characters' },
    ],
    [
      'an unknown key further down, which is not part of the text',
      imageService.ensure,
      { image: 'a', auth: { 'hunter2-x': 1 } },
      {
        field: 'auth',
        problem:
          'unknown key; allowed: username, password, auth, serverAddress, identityToken, registryToken',
        unknownKey: 'hunter2-x',
      },
    ],
    [
      'keys that exclude each other',
      imageService.ensure,
      { image: 'a', auth: {}, credentialsRef: 'shop/pull' },
      { field: 'credentialsRef', problem: 'not together with auth' },
    ],
    [
      'what is no object',
      gcWorker.plan,
      [],
      { field: 'request', problem: 'Invalid input: expected object, received array' },
    ],
  ])('%s', (_what, command, input, problem) => {
    expect(checkInput(command, input)).toEqual(problem);
  });

  it('a key may be shown when it looks like the name of a field', () => {
    expect(['pullPolicy', 'hunter2-x', 'A', ''].map(isFieldName)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('what is wrong with a reply', () => {
  const { reply } = gcWorker.plan.example;
  it.each<[string, unknown, string]>([
    [
      'a missing field',
      { ...reply, total: undefined },
      'total: Invalid input: expected number, received undefined',
    ],
    [
      'a field of another type further down',
      { ...reply, images: [{ ...reply.images[0], why: 7 }] },
      'images.0.why: Invalid input: expected string, received number',
    ],
    ['no object', null, 'result: Invalid input: expected object, received null'],
  ])('%s is named', (_what, value, problem) => {
    expect(checkReply(gcWorker.plan, value)).toEqual({ problem });
  });

  it('words that are not known and counts by any word fit', () => {
    const newer = {
      ...reply,
      keptByRule: { 'a-rule-of-tomorrow': 3 },
      images: [{ ...reply.images[0], rule: 'a-rule-of-tomorrow' }],
    };
    expect(checkReply(gcWorker.plan, newer)).toEqual({ reply: newer });
  });

  it('the two shapes of gc-worker.images are told apart', () => {
    const nodeStatus = { listedAt: null, images: [{ names: ['a:1'], sizeBytes: 1 }] };
    expect(checkReply(gcWorker.images, nodeStatus)).toEqual({ reply: nodeStatus });
    expect(undocumentedFields(gcWorker.images, nodeStatus)).toEqual([]);
    const wrong = { total: 0, images: [], next: 7 };
    expect(checkReply(gcWorker.images, wrong)).toHaveProperty('problem');
  });
});
