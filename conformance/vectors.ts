import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { ConformanceCase } from './types';

/** One vector file, checked for its format. */
export interface VectorFile {
  /** File name without `.json`. */
  readonly file: string;
  /** Sections in the order of the file. */
  readonly sections: readonly VectorSection[];
}

export interface VectorSection {
  readonly section: string;
  readonly cases: readonly ConformanceCase[];
}

/** A vector folder or file that cannot be used: which one, and why. */
export class VectorError extends Error {
  override readonly name = 'VectorError';
}

/**
 * Reads every `*.json` of a folder, sorted by name. Throws VectorError for a folder that is absent
 * or holds no `*.json`, for JSON that does not parse, a wrong shape, and an id used twice in one
 * file.
 */
export function loadVectors(dir: string): VectorFile[] {
  let names: string[];
  try {
    names = readdirSync(dir)
      .filter((name) => name.endsWith('.json'))
      .sort();
  } catch (error) {
    throw new VectorError(`cannot read folder ${dir}: ${reason(error)}`);
  }
  if (names.length === 0) throw new VectorError(`no *.json in folder ${dir}`);
  return names.map((name) => loadFile(path.join(dir, name)));
}

function loadFile(filePath: string): VectorFile {
  let text: string;
  try {
    text = readFileSync(filePath, 'utf8');
  } catch (error) {
    throw new VectorError(`cannot read ${filePath}: ${reason(error)}`);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new VectorError(`${filePath} is not JSON: ${reason(error)}`);
  }
  if (!isObject(content) || !isObject(content.cases)) {
    throw new VectorError(`${filePath}: wanted an object with "cases", a map of sections`);
  }
  const seen = new Set<string>();
  const sections = Object.entries(content.cases).map(([section, cases]) => {
    if (!Array.isArray(cases)) {
      throw new VectorError(`${filePath}: section ${section} is not a list`);
    }
    const checked = cases.map((entry: unknown, index) => {
      if (!isCase(entry)) {
        throw new VectorError(`${filePath}: section ${section}, case ${index} has no "id"`);
      }
      if (seen.has(entry.id)) {
        throw new VectorError(`${filePath}: section ${section} uses id ${entry.id} a second time`);
      }
      seen.add(entry.id);
      return entry;
    });
    return { section, cases: checked };
  });
  return { file: path.basename(filePath, '.json'), sections };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value != null && !Array.isArray(value);

const isCase = (value: unknown): value is ConformanceCase =>
  isObject(value) && typeof value.id === 'string' && value.id !== '';

/**
 * The message without the class name. (Under Jest, errors of node:fs are of another realm: no
 * instanceof.)
 */
const reason = (error: unknown): string => String(error).replace(/^\w*Error: /, '');
