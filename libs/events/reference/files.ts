import { stringify } from 'yaml';
import { eventNames } from '../src';
import { asyncApiDocument } from './asyncapi';
import { eventsPage } from './events-page';
import { messageSchema, schemaFile } from './message-schema';

const banner = '# Written by `npm run gen` from libs/events; do not edit.\n';

/**
 * Every file of the event reference with its content; paths are relative to the repository's root.
 */
export function referenceFiles(): Map<string, string> {
  return new Map([
    ...eventNames.map((name): [string, string] => [
      `docs/reference/events/${schemaFile(name)}`,
      `${JSON.stringify(messageSchema(name), undefined, 2)}\n`,
    ]),
    [
      'docs/reference/asyncapi.yaml',
      banner + stringify(asyncApiDocument(), { aliasDuplicateObjects: false, lineWidth: 110 }),
    ],
    ['docs/reference/events.md', eventsPage()],
  ]);
}
