import {
  ContainerState,
  ImageStatusRequest,
  ListContainersRequest,
  StatusRequest,
} from '@stowage/cri-proto';
import fc from 'fast-check';
import { MalformedMessageError, readStrictly, type MessageShape } from './strict-message';

const status: MessageShape<StatusRequest> = { verbose: [1, 'bool'] };
const list: MessageShape<ListContainersRequest> = {
  filter: [
    1,
    {
      id: [1, 'string'],
      state: [2, { state: [1, 'enum'] }],
      podSandboxId: [3, 'string'],
      labelSelector: [4, 'map'],
    },
  ],
};
const image: MessageShape<ImageStatusRequest> = {
  image: [
    1,
    {
      image: [1, 'string'],
      annotations: [2, 'map'],
      userSpecifiedImage: [18, 'string'],
      runtimeHandler: [19, 'string'],
      imageRef: [20, 'string'],
    },
  ],
  verbose: [2, 'bool'],
};

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const problemOf = (read: () => unknown): string => {
  try {
    return JSON.stringify(read());
  } catch (error) {
    if (error instanceof MalformedMessageError) return error.message;
    throw error;
  }
};

it.each([
  ['nothing', '', false],
  ['true', '08 01', true],
  ['false, which encoders leave out', '08 00', false],
  ['the last of several', '08 01 08 00', false],
  ['the last of several', '08 00 08 01', true],
  ['behind an unknown number', '10 96 01 08 01', true],
  ['behind an unknown field of 64 bits', '11 0102030405060708 08 01', true],
  ['behind unknown bytes, whatever is in them', '12 03 080000 08 01', true],
  ['behind an unknown field of 32 bits', '15 01020304 08 01', true],
  ['behind the largest field number', 'f8 ff ff ff 0f 00 08 01', true],
  ['behind a number of 64 bits', '10 ff ff ff ff ff ff ff ff ff 01 08 01', true],
])('reads verbose: %s', (_what, bytes, verbose) => {
  expect(readStrictly(status, hex(bytes))).toEqual({ verbose });
});

it.each([
  ['a tag of more than 32 bits', '80 80 80 80 10 00 08 01', 5],
  ['a tag of more than 32 bits', '88 80 80 80 10 01', 5],
  ['a tag of more than 32 bits', '88 80 80 80 80 80 80 80 80 01 01', 5],
  ['a tag that is longer than it need be', '88 00 01', 2],
  ['a tag that is longer than it need be', '88 80 80 80 00 01', 5],
  ['field number 0', '00 00 08 01', 1],
  ['field number 0', '02 00', 1],
  ['a number that is cut', '08', 1],
  ['a number that is cut', '88', 1],
  ['a number that is cut', '08 81', 2],
  ['a bool that is longer than it need be', '08 81 00', 3],
  ['a bool of more than 32 bits', '08 81 80 80 80 80 80 80 80 80 01', 6],
  ['a bool of more than 32 bits', '08 80 80 80 80 10', 6],
  ['2 as a bool', '08 02', 2],
  ['wire type 2 for field 1 (want 0)', '0a 01 01', 1],
  ['wire type 1 for field 1 (want 0)', '09 0100000000000000', 1],
  ['wire type 5 for field 1 (want 0)', '0d 01000000', 1],
  ['wire type 3 for field 1 (want 0)', '0b 08 01 0c', 1],
  ['a group', '13 08 01 14', 1],
  ['a group', '14', 1],
  ['wire type 6', '16 01', 1],
  ['wire type 7', '17 01', 1],
  ['127 bytes announced, 1 there', '12 7f 01', 2],
  ['8 bytes announced, 7 there', '11 01020304050607', 1],
  ['4 bytes announced, 3 there', '15 010203', 1],
  ['a length that is longer than it need be', '12 81 00 01', 3],
  ['a length of more than 32 bits', '12 81 80 80 80 10 01', 6],
  ['4294967295 bytes announced, 1 there', '12 ff ff ff ff 0f 01', 6],
  ['a number that is longer than it need be', '10 80 00', 3],
  ['a number of more than 64 bits', '10 ff ff ff ff ff ff ff ff ff 02', 11],
  ['a number of more than 64 bits', '10 ff ff ff ff ff ff ff ff ff ff 01', 11],
])('refuses %s: %s', (problem, bytes, offset) => {
  expect(problemOf(() => readStrictly(status, hex(bytes)))).toBe(
    `malformed message: ${problem} at byte ${offset}`,
  );
});

it.each([
  ['text that is not UTF-8', '0a 03 0a 01 ff', 5],
  ['text that is not UTF-8', '0a 05 0a 03 ed a0 80', 7],
  ['text that is not UTF-8', '0a 04 0a 02 c0 80', 6],
  ['a field of a message past its end', '0a 02 0a 05 6162636465', 4],
  ['a bad tag in a message', '0a 01 00', 3],
  ['text that is not UTF-8 in a map', '0a 05 22 03 0a 01 ff', 7],
  ['wire type 0 for a map', '0a 02 20 01', 3],
  ['a state that is no enum', '0a 05 12 03 0a 01 31', 5],
  ['an enum value of more than 32 bits', '0a 08 12 06 08 80 80 80 80 08', 10],
])('refuses, inside of messages: %s', (_what, bytes, offset) => {
  expect(problemOf(() => readStrictly(list, hex(bytes)))).toMatch(
    new RegExp(`^malformed message: .* at byte ${offset}$`),
  );
});

it('merges what comes twice, as the runtime does', () => {
  const bytes = Buffer.concat([
    encode(ListContainersRequest, { filter: { id: 'a', labelSelector: { x: '1', y: '1' } } }),
    encode(ListContainersRequest, {
      filter: { podSandboxId: 'b', labelSelector: { y: '2' }, state: { state: 1 } },
    }),
    encode(ListContainersRequest, { filter: { state: {} } }),
  ]);
  expect(readStrictly(list, bytes)).toEqual({
    filter: {
      id: 'a',
      podSandboxId: 'b',
      state: { state: ContainerState.CONTAINER_RUNNING },
      labelSelector: { x: '1', y: '2' },
    },
  });
});

it('takes map entries without key or value, and keys that mean something to JavaScript', () => {
  const entry = hex('22 0e 0a 09 5f5f70726f746f5f5f 12 01 78');
  const { filter } = readStrictly(list, Buffer.concat([hex('0a 12 22 00'), entry]));
  expect(Object.entries(filter?.labelSelector ?? {})).toEqual([
    ['', ''],
    ['__proto__', 'x'],
  ]);
  const again = Buffer.from(ListContainersRequest.encode({ filter }).finish());
  expect(again.includes(entry)).toBe(true);
});

interface Type<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
  fromPartial(partial: object): T;
}

const encode = <T>(type: Type<T>, partial: object): Uint8Array =>
  type.encode(type.fromPartial(partial)).finish();

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const labels = fc.dictionary(
  text.filter((key) => key !== '__proto__'),
  text,
  { maxKeys: 5 },
);
const imageSpec = fc.record(
  { image: text, annotations: labels, userSpecifiedImage: text, runtimeHandler: text },
  { requiredKeys: [] },
);
const filter = fc.record(
  {
    id: text,
    podSandboxId: text,
    labelSelector: labels,
    state: fc.record({ state: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) }),
  },
  { requiredKeys: [] },
);

function describeRequest<T>(
  name: string,
  type: Type<T>,
  shape: MessageShape<T>,
  arbitrary: fc.Arbitrary<object>,
): void {
  describe(name, () => {
    it('is read as it was encoded, whatever is in it', () => {
      fc.assert(
        fc.property(arbitrary, (partial) => {
          const bytes = encode(type, partial);
          const message = readStrictly(shape, bytes);
          expect(message).toEqual(type.decode(bytes));
          expect(type.encode(message).finish()).toEqual(bytes);
        }),
      );
    });

    it('is refused, or sent on as it was understood, wherever its bytes are cut or changed', () => {
      fc.assert(
        fc.property(arbitrary, fc.nat(), fc.nat(255), fc.nat(), (partial, at, byte, cut) => {
          const bytes = encode(type, partial);
          if (bytes.length > 0) bytes[at % bytes.length] = byte;
          const part = bytes.subarray(0, cut % (bytes.length + 1));
          let message: T;
          try {
            message = readStrictly(shape, part);
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedMessageError);
            return;
          }
          const again = type.encode(message).finish();
          expect(readStrictly(shape, again)).toEqual(message);
          expect(type.decode(again)).toEqual(message);
        }),
      );
    });
  });
}

describeRequest('StatusRequest', StatusRequest, status, fc.record({ verbose: fc.boolean() }));
describeRequest(
  'ImageStatusRequest',
  ImageStatusRequest,
  image,
  fc.record({ image: imageSpec, verbose: fc.boolean() }, { requiredKeys: [] }),
);
describeRequest(
  'ListContainersRequest',
  ListContainersRequest,
  list,
  fc.record({ filter }, { requiredKeys: [] }),
);
