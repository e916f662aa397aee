import type { Cell, Table } from '@stowage/status-view';

/** A part of the status page: a heading, facts, tables and remarks, in this order. */
export interface StatusSection {
  readonly title: string;
  /** Names with their values. */
  readonly facts?: readonly (readonly [name: string, value: Cell])[];
  readonly tables?: readonly Table[];
  /** Sentences below. */
  readonly notes?: readonly string[];
}

/** Where sections of the status page come from. */
export interface StatusSource {
  /** Title of the section that stands there instead when it fails or takes too long. */
  readonly title: string;
  /** What has a lower one stands above it. Default 0; events have 100. */
  readonly place?: number;
  /** Called for a page, at most once a second; `signal` is aborted when the page does not wait. */
  sections(options: {
    signal: AbortSignal;
  }): readonly StatusSection[] | Promise<readonly StatusSection[]>;
}
