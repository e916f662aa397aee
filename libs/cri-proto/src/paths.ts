/** A package of the CRI, without its `runtime.`. */
export type CriVersion = 'v1' | 'v1alpha2';

/** A service of the CRI, without its package. */
export type ServiceName = 'RuntimeService' | 'ImageService';

/** Both packages. v1alpha2 is a subset of v1 on the wire, so a call differs by its path only. */
export const criVersions: readonly CriVersion[] = ['v1', 'v1alpha2'];

/** The parts of a gRPC path such as `/runtime.v1.RuntimeService/Version`. */
export interface CriPath {
  readonly version: CriVersion;
  readonly service: ServiceName;
  /** What follows the service, whether or not there is such a method. */
  readonly method: string;
}

/** What a path of each service begins with. Compared one by one: it is asked with every call. */
const prefixes = criVersions.flatMap((version) =>
  (['RuntimeService', 'ImageService'] as const).map((service) => ({
    version,
    service,
    prefix: methodPath(service, '', version),
  })),
);

function prefixOf(path: string): (typeof prefixes)[number] | undefined {
  return prefixes.find(({ prefix }) => path.startsWith(prefix));
}

/** The parts of a path of the CRI; undefined for every other path. */
export function parsePath(path: string): CriPath | undefined {
  const found = prefixOf(path);
  if (found === undefined) return undefined;
  const { version, service, prefix } = found;
  return { version, service, method: path.slice(prefix.length) };
}

/** The service that a path belongs to, in either package. */
export function serviceOf(path: string): ServiceName | undefined {
  return prefixOf(path)?.service;
}

export const isRuntimeService = (path: string): boolean => serviceOf(path) === 'RuntimeService';

export const isImageService = (path: string): boolean => serviceOf(path) === 'ImageService';

/** The gRPC path of a method. */
export function methodPath(
  service: ServiceName,
  method: string,
  version: CriVersion = 'v1',
): string {
  return `/runtime.${version}.${service}/${method}`;
}

/** The paths of a method in both packages. */
export function methodPaths(service: ServiceName, method: string): readonly string[] {
  return criVersions.map((version) => methodPath(service, method, version));
}

/** The prefix of every path of a package. */
export const packagePrefix = (version: CriVersion): string => `/runtime.${version}.`;

/**
 * The same method in another package; the messages need no change. Services that are not of the
 * CRI, but in one of its packages, are renamed as well, and every other path stays as it is.
 */
export function inVersion(path: string, version: CriVersion): string {
  for (const from of criVersions) {
    const prefix = packagePrefix(from);
    if (!path.startsWith(prefix)) continue;
    // The same string, not an equal one: this is asked with every call, and paths are compared.
    return from === version ? path : `${packagePrefix(version)}${path.slice(prefix.length)}`;
  }
  return path;
}

/** What {@link methodLabels} needs of a generated service definition. */
export interface ServiceMethods {
  readonly name: ServiceName;
  readonly methods: Readonly<Record<string, { readonly name: string }>>;
}

/**
 * A function that names the method of a path, for metrics: the names are those of the methods of
 * these services, in both packages, and `other` for every other path, so that what clients send
 * cannot make new labels.
 */
export function methodLabels(...services: readonly ServiceMethods[]): (path: string) => string {
  const labels = new Map(
    services.flatMap(({ name: service, methods }) =>
      Object.values(methods).flatMap(({ name }) =>
        methodPaths(service, name).map((path): [string, string] => [path, name]),
      ),
    ),
  );
  return (path) => labels.get(path) ?? 'other';
}
