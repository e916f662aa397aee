import { readFileSync } from 'node:fs';
import path from 'node:path';
import { eventCatalog, eventSubject, streamName } from '@stowage/events';

/** The subscribers in other languages read names that the contract has. */

const root = path.resolve(__dirname, '..');

describe.each(['subscriber-python/subscriber.py', 'subscriber-go/main.go'])('%s', (file) => {
  const source = readFileSync(path.join(root, 'examples', file), 'utf8');
  const quoted = [...source.matchAll(/"([^"\n]*)"/g)].map(([, text = '']) => text);

  it('reads the stream, and subjects of the events that it prints', () => {
    expect(quoted).toContain(streamName);
    const pattern = quoted.find((text) => text.startsWith('stowage.event.')) ?? 'none';
    const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^.]+')}$`);
    for (const name of ['ImagePulled', 'ImageRemoved'] as const) {
      expect(eventSubject('worker-1.example.net', name)).toMatch(expression);
      expect(quoted).toContain(name);
    }
  });

  it('takes fields that these events have', () => {
    const fields = [...source.matchAll(/data\['(\w+)'\]|`json:"(\w+)"`/g)].flatMap(
      ([, python, go]) => python ?? go ?? [],
    );
    const envelope = ['id', 'source', 'type', 'time', 'data'];
    const inData = fields.filter((field) => !envelope.includes(field));
    expect(inData.sort()).toEqual(['imageId', 'reason', 'reference']);
    expect(eventCatalog.ImagePulled.example.data).toHaveProperty('reference');
    expect(eventCatalog.ImageRemoved.example.data).toHaveProperty('imageId');
    expect(eventCatalog.ImageRemoved.example.data).toHaveProperty('reason');
  });
});
