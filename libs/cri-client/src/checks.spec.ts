import {
  ContainerStatus,
  ImageStatusRequest,
  ImageStatusResponse,
  PodSandboxStatus,
  StatusResponse,
} from '@stowage/cri-proto';
import {
  checkContainerId,
  checkContainerStatus,
  checkImageStatus,
  checkPodSandboxId,
  checkPodSandboxStatus,
  checkStatus,
} from './checks';

/** Text of what a check throws; `undefined` when it accepts. */
function problem(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const metadata = { name: 'n', namespace: 's', uid: 'u', attempt: 1 };
const sandbox = { id: 'i', metadata, createdAt: 1n };

it.each([
  ['everything', sandbox, undefined],
  ['no id', { ...sandbox, id: '', metadata: undefined }, 'status.Id is not set'],
  ['no metadata', { ...sandbox, metadata: undefined }, 'status.Metadata is not set'],
  [
    'no name',
    { ...sandbox, metadata: { ...metadata, name: '' } },
    'metadata.Name, metadata.Namespace or metadata.Uid is not in metadata "&PodSandboxMetadata{Name:,Uid:u,Namespace:s,Attempt:1,}"',
  ],
  ['no creation time', { ...sandbox, createdAt: 0n }, 'status.CreatedAt is not set'],
])('status of a sandbox with %s', (_what, status, text) => {
  expect(problem(() => checkPodSandboxStatus(PodSandboxStatus.fromPartial(status)))).toBe(text);
});

const container = {
  id: 'i',
  metadata: { name: 'n', attempt: 0 },
  createdAt: 1n,
  image: { image: 'a' },
  imageRef: 'r',
};

it.each([
  ['everything', container, undefined],
  ['no metadata', { ...container, metadata: undefined }, 'status.Metadata is not set'],
  [
    'no name',
    { ...container, metadata: {} },
    'metadata.Name is not in metadata "&ContainerMetadata{Name:,Attempt:0,}"',
  ],
  ['no creation time', { ...container, createdAt: 0n }, 'status.CreatedAt is not set'],
  ['no image', { ...container, image: undefined }, 'status.Image is not set'],
  ['no image reference', { ...container, imageRef: '' }, 'status.ImageRef is not set'],
])('status of a container with %s', (_what, status, text) => {
  expect(problem(() => checkContainerStatus(ContainerStatus.fromPartial(status)))).toBe(text);
});

it('no status and no image are fine: what was asked for is not there', () => {
  expect(problem(() => checkPodSandboxStatus(undefined))).toBeUndefined();
  expect(problem(() => checkContainerStatus(undefined))).toBeUndefined();
  expect(
    problem(() => checkImageStatus(ImageStatusResponse.create(), ImageStatusRequest.create())),
  ).toBeUndefined();
});

it.each([
  [0, 'RuntimeReady or NetworkReady condition are not set'],
  [1, 'RuntimeReady or NetworkReady condition are not set'],
  [2, undefined],
])('%p conditions', (count, text) => {
  const conditions = Array.from({ length: count }, (_, n) => ({ type: `T${n}` }));
  expect(problem(() => checkStatus(StatusResponse.fromPartial({ status: { conditions } })))).toBe(
    text,
  );
});

it('a missing id is reported with what was asked for', () => {
  expect(problem(() => checkPodSandboxId('', metadata))).toBe(
    'PodSandboxId is not set for sandbox "&PodSandboxMetadata{Name:n,Uid:u,Namespace:s,Attempt:1,}"',
  );
  expect(problem(() => checkContainerId('', undefined))).toBe(
    'ContainerId is not set for container "nil"',
  );
});
