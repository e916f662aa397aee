import {
  answerJson,
  type FakeEngineAnswer,
  type FakeEngine,
  type FakeEngineRequest,
} from '@stowage/testing';
import type http from 'node:http';

export interface FakeContainer {
  readonly id: string;
  readonly name: string;
  readonly body: {
    readonly Image?: string;
    readonly Labels?: Record<string, string>;
    readonly HostConfig?: Record<string, unknown>;
  };
  status: 'created' | 'running' | 'exited';
}

/** One of the engine's calls about containers. */
export type FakeOperation =
  'create' | 'inspect' | 'start' | 'stop' | 'kill' | 'remove' | 'list' | 'pull';

/** What happens in the place of a call, or before it. */
export type Fault =
  | { readonly status: number; readonly message?: string }
  /** Called before the fake answers; the answer waits for it. */
  | ((request: FakeEngineRequest) => unknown);

/**
 * Containers of a {@link FakeEngine}, in memory: what the calls about pods do with an engine, with
 * a fault at any of them.
 */
export class FakeContainers {
  readonly all = new Map<string, FakeContainer>();
  readonly images = new Set<string>();
  /** Calls so far, without the lists that only find ids. */
  readonly calls: FakeOperation[] = [];
  resolvConfPath = '';
  readonly #faults = new Map<FakeOperation, Fault[]>();
  #made = 0;

  constructor(fake: FakeEngine) {
    fake.answer = this.#answer;
  }

  /** The next call of this kind, once. */
  next(operation: FakeOperation, ...faults: readonly Fault[]): void {
    this.#faults.set(operation, [...(this.#faults.get(operation) ?? []), ...faults]);
  }

  /** Puts a container there that nobody has asked for. */
  add(container: Partial<FakeContainer> & Pick<FakeContainer, 'name'>): FakeContainer {
    const added = { id: this.#newId(), body: {}, status: 'exited' as const, ...container };
    this.all.set(added.id, added);
    return added;
  }

  named(name: string): FakeContainer | undefined {
    return [...this.all.values()].find((container) => container.name === name);
  }

  readonly #answer: FakeEngineAnswer = (request, response) => {
    const asked = operationOf(request);
    if (asked === undefined) return false;
    const [operation, target] = asked;
    this.calls.push(operation);
    void this.#run(operation, target, request, response);
    return true;
  };

  async #run(
    operation: FakeOperation,
    target: string,
    request: FakeEngineRequest,
    response: http.ServerResponse,
  ): Promise<void> {
    const body = operation === 'create' ? await request.text() : '';
    const fault = this.#faults.get(operation)?.shift();
    if (typeof fault === 'function') await fault(request);
    else if (fault !== undefined) {
      answerJson(response, fault.status, { message: fault.message ?? `${operation} fails` });
      return;
    }
    if (operation === 'create') this.#create(request, body, response);
    else if (operation === 'list') this.#list(request, response);
    else if (operation === 'pull') this.#pull(request, response);
    else this.#one(operation, target, response);
  }

  #create({ query }: FakeEngineRequest, text: string, response: http.ServerResponse): void {
    const body = JSON.parse(text) as FakeContainer['body'];
    const name = query.get('name') ?? '';
    if (this.named(name) !== undefined) {
      answerJson(response, 409, { message: `Conflict. The container name "/${name}" is in use` });
    } else if (this.images.has(body.Image ?? '')) {
      const { id } = this.add({ name, body, status: 'created' });
      answerJson(response, 201, { Id: id });
    } else {
      answerJson(response, 404, { message: `No such image: ${body.Image}` });
    }
  }

  #list({ query }: FakeEngineRequest, response: http.ServerResponse): void {
    const filters = JSON.parse(query.get('filters') ?? '{}') as Record<string, string[]>;
    const listed = [...this.all.values()].filter(
      ({ id, body, status }) =>
        (filters.label ?? []).every((label) => {
          const at = label.indexOf('=');
          return body.Labels?.[label.slice(0, at)] === label.slice(at + 1);
        }) &&
        (filters.id ?? ['']).some((pattern) => new RegExp(pattern).test(id)) &&
        (filters.status ?? [status]).includes(status),
    );
    const items = listed.map(({ id, name, body, status }) => ({
      Id: id,
      Names: [`/${name}`],
      Labels: body.Labels ?? {},
      State: status,
      HostConfig: { NetworkMode: body.HostConfig?.NetworkMode },
    }));
    answerJson(response, 200, items);
  }

  #pull({ query }: FakeEngineRequest, response: http.ServerResponse): void {
    this.images.add(`${query.get('fromImage')}:${query.get('tag')}`);
    response.end('{"status":"Status: Downloaded"}\n');
  }

  #one(operation: FakeOperation, target: string, response: http.ServerResponse): void {
    const found = this.all.get(target) ?? this.named(target);
    if (found === undefined) {
      answerJson(response, 404, { message: `No such container: ${target}` });
      return;
    }
    if (operation === 'inspect') {
      answerJson(response, 200, this.#inspected(found));
      return;
    }
    if (operation === 'kill' && found.status !== 'running') {
      answerJson(response, 409, { message: 'is not running' });
      return;
    }
    if (operation === 'remove') this.all.delete(found.id);
    else found.status = operation === 'start' ? 'running' : 'exited';
    response.writeHead(204).end();
  }

  #inspected({ id, name, body, status }: FakeContainer): object {
    const running = status === 'running';
    return {
      Id: id,
      Name: `/${name}`,
      Created: '2026-01-02T03:04:05.000000006Z',
      State: { Status: status, Running: running, Pid: running ? process.pid : 0 },
      Config: { Labels: body.Labels, Image: body.Image },
      HostConfig: body.HostConfig,
      ResolvConfPath: this.resolvConfPath,
      NetworkSettings: { Networks: {} },
    };
  }

  #newId(): string {
    this.#made += 1;
    return this.#made.toString(16).padStart(2, '0').repeat(32);
  }
}

function operationOf({
  method,
  path,
}: FakeEngineRequest): readonly [FakeOperation, string] | undefined {
  if (path === '/containers/create') return ['create', ''];
  if (path === '/containers/json') return ['list', ''];
  if (path === '/images/create') return ['pull', ''];
  const [, target = '', verb = ''] = /^\/containers\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? [];
  if (target === '') return undefined;
  if (method === 'DELETE') return ['remove', target];
  const verbs: Readonly<Record<string, FakeOperation>> = {
    json: 'inspect',
    start: 'start',
    stop: 'stop',
    kill: 'kill',
  };
  const operation = verbs[verb];
  return operation && [operation, target];
}
