import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { ConformanceAdapter, SectionAdapter } from './types';

/** What covers one section, and where it was found. */
export interface Coverage {
  readonly run: SectionAdapter;
  /** Path of the adapter, relative to the workspace. */
  readonly from: string;
}

/** Vector file (without `.json`) to section to the code that runs it. */
export type Adapters = ReadonlyMap<string, ReadonlyMap<string, Coverage>>;

/** An adapter file that cannot be used: which one, and why. */
export class AdapterError extends Error {
  override readonly name = 'AdapterError';
}

/** Paths of `conformance/<project>/*.conformance.ts`, relative to `root`. */
export function findAdapterFiles(root: string): string[] {
  const base = path.join(root, 'conformance');
  if (!existsSync(base)) return [];
  return readdirSync(base, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.conformance.ts'))
    .map((name) => path.join('conformance', name));
}

/**
 * Loads all adapters of the workspace. Adapters of one vector file add up. Throws AdapterError for
 * a file without a `conformance` export, a name that does not fit it, and a section covered twice.
 */
export async function loadAdapters(root: string): Promise<Adapters> {
  const adapters = new Map<string, Map<string, Coverage>>();
  for (const from of findAdapterFiles(root).sort()) {
    const loaded = (await import(path.join(root, from))) as { conformance?: ConformanceAdapter };
    const { conformance } = loaded;
    if (conformance === undefined) throw new AdapterError(`${from} exports no "conformance"`);
    const name = path.basename(from, '.conformance.ts');
    if (conformance.file !== name) {
      throw new AdapterError(
        `${from} is for vector file ${conformance.file}, so its name must be ${conformance.file}.conformance.ts`,
      );
    }
    const sections = adapters.get(name) ?? new Map<string, Coverage>();
    adapters.set(name, sections);
    for (const [section, run] of Object.entries(conformance.sections)) {
      const other = sections.get(section);
      if (other !== undefined) {
        throw new AdapterError(`${from} and ${other.from} both cover ${name} ${section}`);
      }
      sections.set(section, { run, from });
    }
  }
  return adapters;
}
