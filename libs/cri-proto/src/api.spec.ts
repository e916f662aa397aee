import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  AuthConfig,
  ContainerConfig,
  ContainerStatusResponse,
  FilesystemUsage,
  ImageSpec,
  KeyValue,
  ListImagesResponse,
  PullImageRequest,
  RuntimeServiceDefinition,
} from './index';
import {
  KeyValue as KeyValueV1alpha2,
  PullImageRequest as PullImageRequestV1alpha2,
  RuntimeServiceDefinition as RuntimeServiceDefinitionV1alpha2,
} from './v1alpha2';

const library = path.resolve(__dirname, '..');
const packages = ['v1', 'v1alpha2'] as const;

/** The parts of google.protobuf.FileDescriptorProto, in JSON, that the tables speak of. */
interface FieldJson {
  name: string;
  number: number;
  label: string;
  type: string;
  typeName?: string;
  oneofIndex?: number;
  proto3Optional?: boolean;
  options?: { debugRedact?: boolean; deprecated?: boolean };
}
interface EnumJson {
  name: string;
  value: { name: string; number?: number }[];
}
interface MessageJson {
  name: string;
  field?: FieldJson[];
  nestedType?: MessageJson[];
  enumType?: EnumJson[];
  oneofDecl?: { name: string }[];
  options?: { mapEntry?: boolean };
}
interface FileJson {
  name: string;
  package: string;
  syntax: string;
  service: {
    name: string;
    method: {
      name: string;
      inputType: string;
      outputType: string;
      clientStreaming?: boolean;
      serverStreaming?: boolean;
    }[];
  }[];
  enumType: EnumJson[];
  messageType: MessageJson[];
  sourceCodeInfo: { location: { path?: number[]; leadingComments?: string }[] };
}

function compile(): FileJson[] {
  const buf = path.resolve(library, '../../node_modules/.bin/buf');
  const json = execFileSync(buf, ['build', 'proto', '-o', '-#format=json'], {
    cwd: library,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return (JSON.parse(json) as { file: FileJson[] }).file;
}

const files = compile();
function fileOf(pkg: string): FileJson {
  const file = files.find((candidate) => candidate.package === `runtime.${pkg}`);
  if (file === undefined) throw new Error(`no file of package runtime.${pkg}`);
  return file;
}

/** The rows of a table as the compiled descriptor would write them. */
function rowsOf(file: FileJson): string[] {
  const short = (name: string) => name.replace(`.${file.package}.`, '');
  const rows: string[] = [];
  const row = (...cells: (string | number)[]) => rows.push(cells.join('\t'));

  for (const service of file.service) {
    for (const method of service.method) {
      const streaming =
        method.clientStreaming === true
          ? 'client'
          : method.serverStreaming === true
            ? 'server'
            : 'unary';
      row(
        'rpc',
        service.name,
        method.name,
        short(method.inputType),
        short(method.outputType),
        streaming,
      );
    }
  }
  const addEnum = (declared: EnumJson, name: string) => {
    row('enum', name);
    for (const value of declared.value) row('value', name, value.name, value.number ?? 0);
  };
  const typeOf = (field: FieldJson, message: MessageJson): string => {
    const named = field.typeName === undefined ? undefined : short(field.typeName);
    const entry = message.nestedType?.find(
      (nested) => nested.options?.mapEntry === true && `${message.name}.${nested.name}` === named,
    );
    if (entry !== undefined) {
      const [key, value] = entry.field ?? [];
      if (key === undefined || value === undefined) throw new Error(`odd map ${entry.name}`);
      return `map<${typeOf(key, entry)},${typeOf(value, entry)}>`;
    }
    // The tables name a type declared inside the message itself without the message's name.
    const single =
      named?.replace(`${message.name}.`, '') ?? field.type.replace('TYPE_', '').toLowerCase();
    return field.label === 'LABEL_REPEATED' ? `repeated ${single}` : single;
  };
  const addMessage = (message: MessageJson, name: string) => {
    row('message', name);
    for (const field of message.field ?? []) {
      const oneof =
        field.oneofIndex === undefined || field.proto3Optional === true
          ? '-'
          : (message.oneofDecl?.[field.oneofIndex]?.name ?? '?');
      const marks = [
        field.options?.debugRedact === true ? 'secret' : '',
        field.options?.deprecated === true ? 'deprecated' : '',
        field.proto3Optional === true ? 'optional' : '',
      ].filter((mark) => mark !== '');
      row('field', name, field.name, field.number, typeOf(field, message), oneof, ...marks);
    }
    for (const nested of message.nestedType ?? []) {
      if (nested.options?.mapEntry !== true) addMessage(nested, `${name}.${nested.name}`);
    }
    for (const nested of message.enumType ?? []) addEnum(nested, `${name}.${nested.name}`);
  };
  for (const declared of file.enumType) addEnum(declared, declared.name);
  for (const message of file.messageType) addMessage(message, message.name);
  return rows;
}

function tableOf(pkg: string): string[] {
  return readFileSync(path.join(library, `testdata/runtime.${pkg}.tsv`), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
}

const encoder = new TextEncoder();

describe.each(packages)('the compiled package runtime.%s', (pkg) => {
  const file = fileOf(pkg);
  const rows = rowsOf(file);
  const table = tableOf(pkg);

  it('is not empty, so that the comparisons below mean something', () => {
    expect(table.length).toBeGreaterThan(500);
    expect(file.syntax).toBe('proto3');
  });

  it('lacks no row of the table', () => {
    const present = new Set(rows);
    expect(table.filter((row) => !present.has(row))).toEqual([]);
  });

  it('has nothing that the table does not have', () => {
    const wanted = new Set(table);
    expect(rows.filter((row) => !wanted.has(row))).toEqual([]);
  });

  it('declares everything in the order of the table', () => {
    expect(rows).toEqual(table);
  });

  it('comments every service, method, message and enum', () => {
    const commented = new Set(
      file.sourceCodeInfo.location
        .filter((location) => (location.leadingComments ?? '').trim() !== '')
        .map((location) => (location.path ?? []).join('.')),
    );
    const bare = [
      ...file.service.flatMap((service, s) => [
        { name: service.name, path: `6.${s}` },
        ...service.method.map((method, m) => ({
          name: `${service.name}.${method.name}`,
          path: `6.${s}.2.${m}`,
        })),
      ]),
      ...file.enumType.map((declared, e) => ({ name: declared.name, path: `5.${e}` })),
      ...file.messageType.flatMap((message, m) => [
        { name: message.name, path: `4.${m}` },
        ...(message.enumType ?? []).map((declared, e) => ({
          name: `${message.name}.${declared.name}`,
          path: `4.${m}.4.${e}`,
        })),
      ]),
    ].filter((thing) => !commented.has(thing.path));
    expect(bare.map((thing) => thing.name)).toEqual([]);
  });
});

it('compiles nothing but the two packages', () => {
  expect(files.map((file) => file.package)).toEqual(packages.map((pkg) => `runtime.${pkg}`));
});

it('marks the credentials, and nothing else, as fields that must not be logged', () => {
  const marked = fileOf('v1').messageType.flatMap((message) =>
    (message.field ?? [])
      .filter((field) => field.options?.debugRedact === true)
      .map((field) => `${message.name}.${field.name}`),
  );
  expect(marked).toEqual([
    'AuthConfig.password',
    'AuthConfig.auth',
    'AuthConfig.identity_token',
    'AuthConfig.registry_token',
  ]);
});

it('v1alpha2 is a wire subset of v1: every field there has the same number and an equally encoded type here', () => {
  const fieldsOf = (pkg: string) =>
    new Map(
      rowsOf(fileOf(pkg))
        .map((row) => row.split('\t'))
        .filter(([kind]) => kind === 'field')
        .map(([, message, name, number, type]) => [`${message}.${name}`, `${number} ${type}`]),
    );
  const v1 = fieldsOf('v1');
  const differing = [...fieldsOf('v1alpha2')].filter(([name, shape]) => v1.get(name) !== shape);
  expect(differing).toEqual([['KeyValue.value', '2 string']]);
  expect(v1.get('KeyValue.value')).toBe('2 bytes');
});

describe('the generated types', () => {
  /** A field of number 1000, a string, that no message here has. */
  function withUnknownField(known: Uint8Array, text: string): Uint8Array {
    const unknown = new BinaryWriter()
      .uint32((1000 << 3) | 2)
      .string(text)
      .finish();
    return Uint8Array.from([...known, ...unknown]);
  }

  it('keep fields of a newer interface through decode and encode', () => {
    const bytes = withUnknownField(
      ImageSpec.encode(ImageSpec.fromPartial({ image: 'busybox' })).finish(),
      'from the future',
    );
    const spec = ImageSpec.decode(bytes);
    expect(spec.image).toBe('busybox');
    expect(Array.from(ImageSpec.encode(spec).finish())).toEqual(Array.from(bytes));
  });

  it('keep unknown fields of nested messages too', () => {
    const image = withUnknownField(ImageSpec.encode(ImageSpec.create()).finish(), 'nested');
    const bytes = new BinaryWriter()
      .uint32((1 << 3) | 2)
      .bytes(image)
      .finish();
    const again = PullImageRequest.encode(PullImageRequest.decode(bytes)).finish();
    expect(Array.from(again)).toEqual(Array.from(bytes));
  });

  it('keep a v1 field that v1alpha2 lacks through a decode and encode by v1alpha2', () => {
    const bytes = PullImageRequest.encode(
      PullImageRequest.fromPartial({
        image: { image: 'i', runtimeHandler: 'kata', imageRef: 'r' },
      }),
    ).finish();
    const again = PullImageRequestV1alpha2.encode(PullImageRequestV1alpha2.decode(bytes)).finish();
    expect(PullImageRequest.decode(again).image).toMatchObject({
      image: 'i',
      runtimeHandler: 'kata',
      imageRef: 'r',
    });
  });

  it('hold 64-bit numbers as bigint without loss', () => {
    const usedBytes = 2n ** 64n - 1n;
    const usage = FilesystemUsage.fromPartial({
      timestamp: -(2n ** 63n),
      usedBytes: { value: usedBytes },
    });
    const decoded = FilesystemUsage.decode(FilesystemUsage.encode(usage).finish());
    expect(decoded.timestamp).toBe(-(2n ** 63n));
    expect(decoded.usedBytes?.value).toBe(usedBytes);
  });

  it('carry environment values as bytes in v1 and as the same bytes in the text of v1alpha2', () => {
    const bytes = KeyValue.encode({ key: 'K', value: encoder.encode('grün') }).finish();
    expect(KeyValueV1alpha2.decode(bytes).value).toBe('grün');
    const config = ContainerConfig.fromPartial({
      envs: [{ key: 'K', value: Uint8Array.from([0xff, 0]) }],
    });
    const [variable] = ContainerConfig.decode(ContainerConfig.encode(config).finish()).envs;
    expect(Array.from(variable?.value ?? [])).toEqual([0xff, 0]);
  });

  it('tell an absent message from an empty one', () => {
    expect(ContainerStatusResponse.decode(new Uint8Array()).status).toBeUndefined();
    expect(ContainerStatusResponse.decode(Uint8Array.from([0x0a, 0])).status).toMatchObject({
      id: '',
      createdAt: 0n,
    });
  });

  it('refuse bytes that are no message', () => {
    expect(() => ListImagesResponse.decode(Uint8Array.from([0x0a, 0x7f, 1]))).toThrow();
  });

  it('name every method of the runtime service by its wire name', () => {
    const names = (definition: { methods: Record<string, { name: string }> }) =>
      Object.values(definition.methods).map((method) => method.name);
    expect(names(RuntimeServiceDefinition)).toEqual(
      tableOf('v1').flatMap((row) =>
        row.startsWith('rpc\tRuntimeService') ? [row.split('\t')[2]] : [],
      ),
    );
    expect(RuntimeServiceDefinition.fullName).toBe('runtime.v1.RuntimeService');
    expect(RuntimeServiceDefinitionV1alpha2.fullName).toBe('runtime.v1alpha2.RuntimeService');
  });

  it('leave unset strings and numbers off the wire', () => {
    expect(AuthConfig.encode(AuthConfig.create()).finish()).toHaveLength(0);
  });
});
