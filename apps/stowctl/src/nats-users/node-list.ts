import { checkNodeName, SubjectError } from '@stowage/events';
import { UsageError } from '../failures';

/**
 * Node names of a text, sorted and each once: one a line, as people write them or as `kubectl get
 * nodes -o name` prints them. Empty lines and what follows a `#` are left out.
 */
export function nodeNamesOf(text: string, source: string): string[] {
  const names = text.split('\n').flatMap((line, index) => {
    const name = line
      .replace(/#.*$/, '')
      .trim()
      .replace(/^node\//, '');
    if (name === '') return [];
    try {
      checkNodeName(name);
    } catch (error) {
      if (!(error instanceof SubjectError)) throw error;
      throw new UsageError(
        `${source}, line ${index + 1}: ${error.message}`,
        'one node name a line, as kubectl get nodes -o name prints them',
      );
    }
    return [name];
  });
  return [...new Set(names)].sort();
}
