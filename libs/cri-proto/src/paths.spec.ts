import { ImageServiceDefinition, RuntimeServiceDefinition } from './index';
import {
  inVersion,
  isImageService,
  isRuntimeService,
  methodLabels,
  methodPath,
  methodPaths,
  parsePath,
} from './paths';

describe('paths of the CRI', () => {
  it.each([
    ['/runtime.v1.ImageService/PullImage', ['v1', 'ImageService', 'PullImage']],
    ['/runtime.v1alpha2.RuntimeService/Status', ['v1alpha2', 'RuntimeService', 'Status']],
    ['/runtime.v1.RuntimeService/NoSuchMethod', ['v1', 'RuntimeService', 'NoSuchMethod']],
    ['/runtime.v1.RuntimeService/', ['v1', 'RuntimeService', '']],
    ['/runtime.v1.RuntimeService/a/b', ['v1', 'RuntimeService', 'a/b']],
  ])('%j has the parts %j', (path, [version, service, method]) => {
    expect(parsePath(path)).toEqual({ version, service, method });
    expect(isImageService(path)).toBe(service === 'ImageService');
    expect(isRuntimeService(path)).toBe(service === 'RuntimeService');
  });

  it.each([
    '',
    '/',
    'runtime.v1.RuntimeService/Status',
    '/runtime.v1.RuntimeService',
    '/runtime.v1.RuntimeServiceX/Status',
    '/runtime.v1xRuntimeService/Status',
    '/runtime.v1beta1.RuntimeService/Status',
    '/runtime.v2.RuntimeService/Status',
    '/v1.RuntimeService/Status',
    ' /runtime.v1.RuntimeService/Status',
    '/grpc.health.v1.Health/Check',
  ])('%j is none', (path) => {
    expect(parsePath(path)).toBeUndefined();
    expect(isImageService(path) || isRuntimeService(path)).toBe(false);
  });

  it('are made of service, method and version, of v1 where none is given', () => {
    expect(methodPath('RuntimeService', 'Version')).toBe('/runtime.v1.RuntimeService/Version');
    expect(methodPath('ImageService', 'ListImages', 'v1alpha2')).toBe(
      '/runtime.v1alpha2.ImageService/ListImages',
    );
    expect(methodPaths('RuntimeService', 'Version')).toEqual([
      '/runtime.v1.RuntimeService/Version',
      '/runtime.v1alpha2.RuntimeService/Version',
    ]);
  });

  it.each([
    ['/runtime.v1.RuntimeService/Status', 'v1', '/runtime.v1.RuntimeService/Status'],
    ['/runtime.v1.RuntimeService/Status', 'v1alpha2', '/runtime.v1alpha2.RuntimeService/Status'],
    ['/runtime.v1alpha2.ImageService/X', 'v1', '/runtime.v1.ImageService/X'],
    ['/runtime.v1alpha2.FutureService/X', 'v1', '/runtime.v1.FutureService/X'],
    ['/runtime.v1.A/runtime.v1alpha2.B', 'v1alpha2', '/runtime.v1alpha2.A/runtime.v1alpha2.B'],
    ['/runtime.v2.RuntimeService/Status', 'v1', '/runtime.v2.RuntimeService/Status'],
    ['/grpc.health.v1.Health/Check', 'v1', '/grpc.health.v1.Health/Check'],
    ['', 'v1', ''],
  ] as const)('%j in %s is %j', (path, version, expected) => {
    expect(inVersion(path, version)).toBe(expected);
  });

  it('have labels from a closed set: the methods of the services that were named', () => {
    const both = methodLabels(RuntimeServiceDefinition, ImageServiceDefinition);
    const images = methodLabels(ImageServiceDefinition);
    for (const { name, methods } of [RuntimeServiceDefinition, ImageServiceDefinition]) {
      for (const method of Object.values<{ name: string }>(methods)) {
        for (const path of methodPaths(name, method.name)) {
          expect(both(path)).toBe(method.name);
          expect(images(path)).toBe(name === 'ImageService' ? method.name : 'other');
        }
      }
    }
    for (const path of ['/runtime.v1.ImageService/Nothing', '/runtime.v1.ImageService/', 'x', '']) {
      expect(both(path)).toBe('other');
    }
  });
});
