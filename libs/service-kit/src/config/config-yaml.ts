import { isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { errorMessage } from '@stowage/errors';

/** The text is not YAML; the message says where. */
export class YamlError extends Error {
  override readonly name = 'YamlError';

  constructor(reason: string) {
    const [line = ''] = reason.split('\n');
    super(line.replace(/:$/, ''));
  }
}

/**
 * The value of a YAML document, null where there is none. Loaded late, as most services have no
 * configuration file.
 * @throws YamlError
 */
export function parseConfigYaml(text: string): unknown {
  const lines = new LineCounter();
  // Its own search for keys that stand twice compares each key with each.
  const document = parseDocument(text, { uniqueKeys: false, lineCounter: lines });
  const [problem] = document.errors;
  if (problem !== undefined) throw new YamlError(problem.message);
  visit(document, {
    Map: (_index, map) => {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          const { line, col } = lines.linePos(key.range?.[0] ?? 0);
          throw new YamlError(`Map keys must be unique at line ${line}, column ${col}`);
        }
        seen.add(key.value);
      }
    },
  });
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new YamlError(errorMessage(error));
  }
}
