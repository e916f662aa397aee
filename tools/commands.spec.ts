import 'reflect-metadata';
import path from 'node:path';
import { commandApps, commandsOf } from '@stowage/commands';
import { handledCommands } from '@stowage/service-kit';

it.each(commandApps)('%s handles each of its commands and no others', async (app) => {
  const file = path.join(__dirname, '../apps', app, 'src/commands.controller.ts');
  const { CommandsController } = (await import(file)) as {
    CommandsController: { prototype: object };
  };
  const byVerb = (a: { verb: string }, b: { verb: string }) => a.verb.localeCompare(b.verb);
  expect(handledCommands(CommandsController).sort(byVerb)).toEqual(
    [...commandsOf(app)].sort(byVerb),
  );
});
