import type { IContainer } from 'kubernetes-models/v1/Container';
import { loadConfig, type ConfigDefinition, type ConfigKeys } from '@stowage/service-kit';
import { configOf } from '../app-folders';
import type { Rendered } from './rendered';

/**
 * What the services say of the environment and the file that the chart gives them, each read as the
 * service reads it when it starts: also a warning is a line here, such as one about a key that is
 * misspelt.
 */
export async function configurationProblems(rendered: Rendered): Promise<string[]> {
  const problems = await Promise.all(
    rendered.apps.map(async (app) => {
      const outcome = await loadConfig((await configOf(app)) as ConfigDefinition<ConfigKeys>, {
        argv: [],
        env: environmentOf(rendered.container(app), 'node-1.example'),
        version: '0.0.0',
        hostName: `${app}-x7k2p`,
        readFile: () => rendered.configurationText(app),
      });
      if (outcome.action === 'exit') return [outcome.output];
      return outcome.notes.map((note) => `${app}: ${note}`);
    }),
  );
  return problems.flat();
}

/**
 * The environment of a container on a node. Variables in values (`$(NAME)`) are replaced as kubelet
 * does it; a value of a Secret is a login of NATS.
 *
 * @throws Error for a source of a value that the chart does not use.
 */
export function environmentOf(
  { env = [] }: Pick<IContainer, 'env'>,
  nodeName: string,
  secretValue: (name: string, key: string) => string = () => 'nats://user:secret@nats.example:4222',
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { name, value = '', valueFrom } of env) {
    if (valueFrom === undefined) {
      values[name] = value.replaceAll(/\$\((\w+)\)/g, (text, of: string) => values[of] ?? text);
    } else if (valueFrom.fieldRef?.fieldPath === 'spec.nodeName') {
      values[name] = nodeName;
    } else if (valueFrom.secretKeyRef !== undefined) {
      values[name] = secretValue(valueFrom.secretKeyRef.name ?? '', valueFrom.secretKeyRef.key);
    } else {
      throw new Error(`${name} has a value from ${Object.keys(valueFrom).join(', ')}`);
    }
  }
  return values;
}
