import { withTimeout } from '@stowage/async';
import { errorMessage } from '@stowage/errors';
import type { Readiness } from '../health';
import type { Page } from '../http-server';
import { renderStatusPage, type ServiceFacts } from './render-status-page';
import { statusPageHeaders } from './style';
import type { StatusSection, StatusSource } from './types';

/** How long a page waits for a source, milliseconds. */
const sourceTimeoutMs = 5000;
/** For how long what the sources said is shown again, milliseconds. */
const freshMs = 1000;

/** Seconds between two loads of a page that reloads itself. */
const refreshSeconds = { min: 5, max: 3600 };

export interface StatusPageOptions {
  readonly facts: ServiceFacts;
  readonly readiness: () => Readiness;
  /** Aborted at the stop. */
  readonly signal: AbortSignal;
}

/**
 * The page `/` of a service: its health, and what its parts have to show. Pages that are asked for
 * at the same time, or within a second, share what the sources answer.
 */
export class StatusPage {
  readonly #sources: StatusSource[] = [];
  #asked: Promise<readonly StatusSection[]> | undefined;

  constructor(private readonly options: StatusPageOptions) {}

  /** Adds sections to the page, by their place, and below those that were added before. */
  add(source: StatusSource): void {
    this.#sources.push(source);
  }

  /** The page. `?refresh=SECONDS` has the browser load it again and again. */
  async page(query: URLSearchParams): Promise<Page> {
    const { facts, readiness } = this.options;
    const sections = await this.#ask();
    return {
      status: 200,
      contentType: 'text/html; charset=utf-8',
      headers: statusPageHeaders,
      body: renderStatusPage({
        facts,
        readiness: readiness(),
        sections,
        now: new Date(),
        refreshSeconds: refreshOf(query),
      }),
    };
  }

  #ask(): Promise<readonly StatusSection[]> {
    this.#asked ??= this.#askAll();
    return this.#asked;
  }

  async #askAll(): Promise<readonly StatusSection[]> {
    const placeOf = ({ place = 0 }: StatusSource): number => place;
    const sources = this.#sources.toSorted((a, b) => placeOf(a) - placeOf(b));
    const answers = await Promise.all(sources.map((source) => this.#sectionsOf(source)));
    setTimeout(() => (this.#asked = undefined), freshMs).unref();
    return answers.flat();
  }

  /** Never rejects: a source that fails is a section that says so. */
  async #sectionsOf({ title, ...source }: StatusSource): Promise<readonly StatusSection[]> {
    const { signal } = this.options;
    const limits = { what: 'asking for it', timeoutMs: sourceTimeoutMs, signal };
    try {
      return await withTimeout(
        (limit) => Promise.race([source.sections({ signal: limit }), aborted(limit)]),
        limits,
      );
    } catch (error) {
      return [{ title, notes: [`Not known now: ${errorMessage(error)}`] }];
    }
  }
}

/** Rejects when the signal aborts: a source that does not look at it is not waited for. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => reject(signal.reason as Error);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

function refreshOf(query: URLSearchParams): number | undefined {
  const text = query.get('refresh') ?? '';
  if (!/^\d{1,4}$/.test(text)) return undefined;
  const seconds = Number(text);
  const { min, max } = refreshSeconds;
  return seconds >= min && seconds <= max ? seconds : undefined;
}
