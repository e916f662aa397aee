import { withoutNatsLogin } from '@stowage/events';
import type { Call } from '../command-line/define';
import { readContexts, writeCurrentContext } from '../transport/contexts';

/** `stowctl context list`. */
export async function contextList({ env, out }: Call): Promise<number> {
  const { path, current, contexts } = await readContexts(env);
  const entries = Object.entries(contexts).map(([name, context]) => ({
    name,
    isCurrent: name === current,
    ...context,
    servers: context.servers?.map((server) => withoutNatsLogin(server)),
  }));
  await out.show({
    data: entries,
    tables: [
      {
        columns: [
          { title: '' },
          { title: 'NAME' },
          { title: 'SERVERS' },
          { title: 'NODES' },
          { title: 'LOGIN' },
        ],
        rows: entries.map(({ name, isCurrent, servers, nodes, creds, nkey, sockets }) => [
          isCurrent ? '*' : '',
          name,
          servers?.join(',') ?? `sockets in ${sockets ?? '/run/stowage'}`,
          nodes?.join(',') ?? '-',
          creds ?? nkey ?? '-',
        ]),
        empty: `there is no context in ${path}`,
      },
    ],
  });
  return 0;
}

/** `stowctl context use NAME`. */
export async function contextUse({ args, env, out }: Call): Promise<number> {
  const [name = ''] = args;
  await writeCurrentContext(await readContexts(env), name);
  out.note(`the context is now ${name}`);
  return 0;
}
