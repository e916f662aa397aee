import { answerJson, eventually, FakeEngine } from '@stowage/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EngineConnection } from '../engine/engine-connection';
import { ImageFiles } from './image-files';
import { firstTarEntry } from './tar-file';

const block = (text: string) =>
  Buffer.concat([Buffer.from(text)], Math.ceil(text.length / 512) * 512);
function entry(type: string, content = '', target = ''): Buffer {
  const header = Buffer.alloc(512);
  header.write('name', 0);
  header.write(content.length.toString(8).padStart(11, '0'), 124);
  header.write(type, 156);
  header.write(target, 157);
  return Buffer.concat([header, block(content)]);
}
const end = Buffer.alloc(1024);

describe('firstTarEntry', () => {
  it.each([
    ['a file', [entry('0', 'hello')], { kind: 'file', content: Buffer.from('hello') }],
    ['an empty file', [entry('0')], { kind: 'file', content: Buffer.from('') }],
    [
      'a file with long facts before it',
      [entry('x', '20 mtime=1.5\n'), entry('0', 'x'.repeat(600))],
      { kind: 'file', content: Buffer.from('x'.repeat(600)) },
    ],
    ['a link', [entry('2', '', '../run/passwd')], { kind: 'link', target: '../run/passwd' }],
    ['a folder', [entry('5')], { kind: 'other' }],
    ['nothing', [], undefined],
  ])('reads %s', (_what, entries, expected) => {
    expect(firstTarEntry(Buffer.concat([...entries, ...(expected ? [end] : [])]))).toEqual(
      expected,
    );
  });

  it('takes a file that is cut for none', () => {
    expect(firstTarEntry(entry('0', 'x'.repeat(600)).subarray(0, 600))).toBeUndefined();
  });
});

describe('ImageFiles', () => {
  let folder: string;
  let fake: FakeEngine;
  let connection: EngineConnection;
  let files: ImageFiles;
  /** Temporary containers that are there. */
  let there: Set<string>;
  /** Their names by id. */
  let names: Map<string, string>;
  let made: number;
  /** Called before a file is read. */
  let beforeRead: () => unknown;
  const archives: Record<string, Buffer> = {
    '/etc/passwd': entry('2', '', '../run/passwd'),
    '/run/passwd': entry('0', 'web:x:1:2\n'),
    '/loop/passwd': entry('2', '', '/loop/passwd'),
  };
  const { signal } = new AbortController();

  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'image-files-'));
    fake = new FakeEngine(path.join(folder, 'docker.sock'));
    there = new Set();
    names = new Map();
    made = 0;
    beforeRead = () => undefined;
    fake.answer = ({ method, path: asked, query }, response) => {
      if (asked === '/containers/create') {
        made += 1;
        there.add(`c${made}`);
        names.set(`c${made}`, query.get('name') ?? '');
        return answerJson(response, 201, { Id: `c${made}` });
      }
      if (asked === '/containers/json') {
        return answerJson(
          response,
          200,
          [...there].map((Id) => ({
            Id,
            Names: [`/${names.get(Id) ?? 'stowage-image-files-old'}`],
          })),
        );
      }
      const [, id = '', rest = ''] = /^\/containers\/(c\d+)(\/archive)?$/.exec(asked) ?? [];
      if (method === 'DELETE') {
        there.delete(id);
        response.writeHead(204).end();
        return true;
      }
      if (rest === '') return false;
      void Promise.resolve(beforeRead()).then(() => {
        const archive = there.has(id) ? archives[query.get('path') ?? ''] : undefined;
        if (archive === undefined) answerJson(response, 404, { message: 'no such file' });
        else response.end(method === 'HEAD' ? undefined : Buffer.concat([archive, end]));
      });
      return true;
    };
    await fake.start();
    connection = new EngineConnection({ socketPath: fake.socketPath, timeoutMs: 10_000 });
    await eventually(() => connection.availability().available);
    files = new ImageFiles(connection);
  });
  afterEach(async () => {
    await connection.close();
    await fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('reads who is who once, past links, and leaves nothing behind', async () => {
    const read = () => files.accounts('sha256:a', { signal });
    expect(await Promise.all([read(), read()])).toEqual([
      { passwd: 'web:x:1:2\n', group: '' },
      { passwd: 'web:x:1:2\n', group: '' },
    ]);
    await read();
    expect([made, there.size]).toEqual([1, 0]);
    await files.accounts('sha256:b', { signal });
    expect([made, there.size]).toEqual([2, 0]);
  });

  it('fails for what is no file, removes the container, and tries again the next time', async () => {
    const passwd = archives['/etc/passwd']!;
    archives['/etc/passwd'] = entry('2', '', '/loop/passwd');
    try {
      for (const tried of [1, 2]) {
        await expect(files.accounts('sha256:a', { signal })).rejects.toThrow(
          '/etc/passwd of the image is no file',
        );
        await eventually(() => there.size === 0);
        expect(made).toBe(tried);
      }
    } finally {
      archives['/etc/passwd'] = passwd;
    }
  });

  it('knows whether an image has a path, and goes on for others when a caller gives up', async () => {
    expect(await files.has('sha256:a', '/run/passwd', { signal })).toBe(true);
    expect(await files.has('sha256:a', '/run/nothing', { signal })).toBe(false);
    const caller = new AbortController();
    const given = files.accounts('sha256:a', { signal: caller.signal });
    const other = files.accounts('sha256:a', { signal });
    caller.abort(new Error('gave up'));
    await expect(given).rejects.toThrow('gave up');
    expect((await other).passwd).toBe('web:x:1:2\n');
    expect(there.size).toBe(0);
  });

  it('does not take for a leftover what it reads itself', async () => {
    there.add('c90');
    let removing: Promise<void> | undefined;
    beforeRead = () => (removing ??= files.removeLeftovers({ signal }));
    expect((await files.accounts('sha256:a', { signal })).passwd).toBe('web:x:1:2\n');
    expect(there.size).toBe(0);
  });

  it('removes what an earlier process has left', async () => {
    there.add('c90').add('c91');
    await files.removeLeftovers({ signal });
    expect(there.size).toBe(0);
    const { query } = fake.requests.find(({ path: asked }) => asked === '/containers/json')!;
    expect(JSON.parse(query.get('filters') ?? '')).toEqual({
      label: ['io.stowage.docker-shim.temporary'],
    });
  });
});
