import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { discovery, kinds, kubeconfigFor, notFound } from './fake-cluster';
import { readObject } from './protobuf-objects';

/** Any object, as far as it is looked at here. */
export interface StoredObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    generation?: number;
    [field: string]: unknown;
  };
  [field: string]: unknown;
}

/** A path of the API: which objects, and which of them. */
interface Target {
  readonly groupVersion: string;
  readonly plural: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

type WatchType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** A watch: objects that it is about, and how it is notified of one. */
interface Watcher {
  readonly wants: (object: StoredObject) => boolean;
  readonly send: (type: WatchType | 'BOOKMARK', object: object) => void;
}

/**
 * As much of an API server as Helm and kubectl need to install, watch, reach and remove a chart: it
 * keeps objects in memory, sends changes to watches, and passes port-forwards on to the runtime.
 * Nothing acts on the objects: whoever uses it is scheduler, controllers and kubelet.
 */
export class SmallCluster {
  readonly #objects = new Map<string, StoredObject>();
  readonly #watchers = new Set<Watcher>();
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'stowage-cluster-'));
  readonly #server: Server;
  #version = 100;

  /** Requests that were not understood. */
  readonly unknown: string[] = [];

  private constructor(
    /** Where the runtime forwards the ports of a pod; `http://…`. */
    private readonly portForward: (pod: StoredObject) => Promise<string>,
  ) {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        this.#answer(response, 500, failure(500, 'InternalError', String(error)));
      });
    });
    this.#server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      this.#upgrade(request, socket, head).catch(() => socket.destroy());
    });
  }

  static async start(portForward: (pod: StoredObject) => Promise<string>): Promise<SmallCluster> {
    const cluster = new SmallCluster(portForward);
    await new Promise<void>((resolve) => cluster.#server.listen(0, '127.0.0.1', resolve));
    const { port } = cluster.#server.address() as AddressInfo;
    writeFileSync(cluster.kubeconfig, kubeconfigFor(`http://127.0.0.1:${port}`));
    return cluster;
  }

  /** File with its address. */
  get kubeconfig(): string {
    return path.join(this.#folder, 'kubeconfig');
  }

  /** Objects of a kind, as they are now. */
  ofKind(kind: string): StoredObject[] {
    return [...this.#objects.values()].filter((object) => object.kind === kind);
  }

  /** Makes or changes an object, as a controller or kubelet does. */
  put(object: StoredObject): void {
    this.#store(keyOf(targetOf(object)), object);
  }

  /** Removes an object. */
  remove(object: StoredObject): void {
    this.#delete(keyOf(targetOf(object)));
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://cluster');
    const known = discovery(url.pathname) ?? openApi(url.pathname);
    if (known !== undefined) {
      this.#answer(response, 200, known);
      return;
    }
    const target = parseTarget(url.pathname);
    if (target === undefined) {
      this.unknown.push(`${request.method ?? ''} ${request.url ?? ''}`);
      this.#answer(response, 404, notFound);
      return;
    }
    const isOne = target.name !== '';
    if (request.method === 'GET' && !isOne) {
      this.#list(target, url, response);
      return;
    }
    const key = keyOf(target);
    const stored = this.#objects.get(key);
    if (request.method === 'POST') {
      const made = inNamespace(target, readObject(await buffer(request)));
      const own = keyOf({ ...target, name: made.metadata.name });
      if (this.#objects.has(own)) {
        this.#answer(response, 409, failure(409, 'AlreadyExists', `${own} already exists`));
        return;
      }
      this.#answer(response, 201, this.#store(own, made));
      return;
    }
    if (request.method === 'PATCH') {
      const isApply = request.headers['content-type']?.includes('apply-patch') === true;
      if (stored === undefined && !isApply) {
        this.#answer(response, 404, notFound);
        return;
      }
      const patch = parse(await text(request)) as StoredObject;
      const whole = stored === undefined ? patch : (merged(stored, patch) as StoredObject);
      const changed = inNamespace(target, whole);
      this.#answer(response, stored === undefined ? 201 : 200, this.#store(key, changed));
      return;
    }
    if (stored === undefined) {
      this.#answer(response, 404, notFound);
      return;
    }
    if (request.method === 'GET') {
      this.#answer(response, 200, stored);
      return;
    }
    if (request.method === 'PUT') {
      const given = readObject(await buffer(request));
      this.#answer(response, 200, this.#store(key, given));
      return;
    }
    if (request.method === 'DELETE') {
      this.#delete(key);
      this.#answer(response, 200, stored);
      return;
    }
    this.unknown.push(`${request.method ?? ''} ${request.url ?? ''}`);
    this.#answer(response, 405, failure(405, 'MethodNotAllowed', 'not allowed'));
  }

  #list(target: Target, url: URL, response: ServerResponse): void {
    const query = url.searchParams;
    const wants = (object: StoredObject): boolean =>
      kinds[target.groupVersion]?.[target.plural] === object.kind &&
      (target.namespace === '' || target.namespace === object.metadata.namespace) &&
      selects(query.get('labelSelector') ?? '', object.metadata.labels ?? {}) &&
      selects(query.get('fieldSelector') ?? '', { 'metadata.name': object.metadata.name });
    const items = [...this.#objects.values()].filter(wants);
    const kind = kinds[target.groupVersion]?.[target.plural] ?? '';
    const apiVersion = target.groupVersion;
    const resourceVersion = String(this.#version);
    if (query.get('watch') == null) {
      const list = { kind: `${kind}List`, apiVersion, metadata: { resourceVersion }, items };
      this.#answer(response, 200, list);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watcher: Watcher = {
      wants,
      send: (type, object) => void response.write(`${JSON.stringify({ type, object })}\n`),
    };
    if (query.get('sendInitialEvents') === 'true') {
      for (const object of items) watcher.send('ADDED', object);
      const annotations = { 'k8s.io/initial-events-end': 'true' };
      watcher.send('BOOKMARK', { kind, apiVersion, metadata: { resourceVersion, annotations } });
    }
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }

  /** Ports of a pod: what kubelet does by asking the runtime for an address. */
  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const url = new URL(request.url ?? '', 'http://cluster');
    const target = parseTarget(url.pathname);
    const pod = target === undefined ? undefined : this.#objects.get(keyOf(target));
    const isSpdy = request.headers.upgrade?.startsWith('SPDY/') === true;
    if (pod === undefined || target?.subresource !== 'portforward' || !isSpdy) {
      // kubectl tries a WebSocket first, and SPDY where that is refused.
      socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const there = new URL(await this.portForward(pod));
    const runtime = connect(Number(there.port), there.hostname);
    const headers = request.rawHeaders.flatMap((name, index, all) =>
      index % 2 === 0 ? [`${name}: ${all[index + 1] ?? ''}`] : [],
    );
    runtime.write(`POST ${there.pathname} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
    runtime.write(head);
    runtime.on('error', () => socket.destroy()).pipe(socket);
    socket.on('error', () => runtime.destroy()).pipe(runtime);
  }

  #store(key: string, object: StoredObject): StoredObject {
    const before = this.#objects.get(key);
    this.#version += 1;
    const stored: StoredObject = {
      ...object,
      metadata: {
        creationTimestamp: new Date().toISOString(),
        uid: randomUUID(),
        ...before?.metadata,
        ...object.metadata,
        generation: generationOf(object, before),
        resourceVersion: String(this.#version),
      },
    };
    this.#objects.set(key, stored);
    this.#notify(before === undefined ? 'ADDED' : 'MODIFIED', stored);
    return stored;
  }

  #delete(key: string): void {
    const stored = this.#objects.get(key);
    if (stored === undefined) return;
    this.#objects.delete(key);
    this.#notify('DELETED', stored);
  }

  #notify(type: WatchType, object: StoredObject): void {
    for (const watcher of this.#watchers) if (watcher.wants(object)) watcher.send(type, object);
  }

  #answer(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  }
}

/** Counts changes of the specification. */
function generationOf(object: StoredObject, before: StoredObject | undefined): number {
  if (before === undefined) return 1;
  const { generation = 1 } = before.metadata;
  return isDeepStrictEqual(object.spec, before.spec) ? generation : generation + 1;
}

const failure = (code: number, reason: string, message: string) => ({
  ...notFound,
  ...{ code, reason, message },
});

function parseTarget(pathname: string): Target | undefined {
  const [, core, named, rest = ''] =
    /^\/(?:api\/(v1)|apis\/([^/]+\/[^/]+))\/(.+)$/.exec(pathname) ?? [];
  const groupVersion = core ?? named;
  if (groupVersion === undefined) return undefined;
  const parts = rest.split('/');
  const isNamespaced = parts[0] === 'namespaces' && parts.length > 2;
  const [namespace = '', plural = '', name = '', subresource = ''] = isNamespaced
    ? parts.slice(1)
    : ['', ...parts];
  if (kinds[groupVersion]?.[plural] === undefined) return undefined;
  return { groupVersion, plural, namespace, name, subresource };
}

function targetOf({ apiVersion, kind, metadata }: StoredObject): Target {
  const plurals = Object.entries(kinds[apiVersion] ?? {});
  const [plural] = plurals.find(([, known]) => known === kind) ?? [];
  if (plural === undefined) throw new Error(`${apiVersion} ${kind} is not known`);
  const { name, namespace = '' } = metadata;
  return { groupVersion: apiVersion, plural, namespace, name, subresource: '' };
}

/** What names no namespace is in that of the request. */
function inNamespace({ namespace }: Target, object: StoredObject): StoredObject {
  object.metadata.namespace ??= namespace === '' ? undefined : namespace;
  return object;
}

const keyOf = ({ groupVersion, plural, namespace, name }: Target): string =>
  [groupVersion, plural, namespace, name].join('/');

/** A selector of labels or fields: `a=b,c!=d,e`. */
const selects = (selector: string, values: Readonly<Record<string, string>>): boolean =>
  selector
    .split(',')
    .filter((term) => term !== '')
    .every((term) => {
      const [, name = '', not, value] = /^([^=!]+)(!)?(?:={1,2}(.*))?$/.exec(term) ?? [];
      if (value === undefined) return name in values;
      return (values[name] === value) === (not === undefined);
    });

/** A merge patch (RFC 7386). Lists are taken as a whole, which is enough for what is sent here. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch == null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === 'object' && target != null && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value == null) Reflect.deleteProperty(result, key);
    else result[key] = merged(result[key], value);
  }
  return result;
}

/** That the server itself checks fields: then its clients do not. */
function openApi(pathname: string): unknown {
  const groups = Object.keys(kinds).map((groupVersion) => ({
    groupVersion,
    at: groupVersion === 'v1' ? 'api/v1' : `apis/${groupVersion}`,
  }));
  if (pathname === '/openapi/v3') {
    const entries = groups.map(({ at }) => [at, { serverRelativeURL: `/openapi/v3/${at}` }]);
    return { paths: Object.fromEntries(entries) as object };
  }
  const found = groups.find(({ at }) => pathname === `/openapi/v3/${at}`);
  if (found === undefined) return undefined;
  const { groupVersion } = found;
  const [group, version] = groupVersion.includes('/') ? groupVersion.split('/') : ['', 'v1'];
  const paths = Object.entries(kinds[groupVersion] ?? {}).map(([plural, kind]) => {
    const operation = {
      'x-kubernetes-group-version-kind': { group, version, kind },
      parameters: [
        { name: 'fieldValidation', in: 'query' },
        { name: 'dryRun', in: 'query' },
      ],
      responses: {},
    };
    return [`/${found.at}/${plural}/{name}`, { patch: operation }];
  });
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.35.0' },
    paths: Object.fromEntries(paths) as object,
  };
}
