import type { Output } from '../output/output';
import type { OpenReach } from '../transport/reach';

/** A flag as help, parsing and completion know it. A name means the same in every command. */
export interface FlagDefinition {
  /** Without the hyphens, as in `node`. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What stands for the value in the help; absent: the flag has none. */
  readonly value?: string;
  readonly help: string;
  /** All values there are, for the check and for completion. */
  readonly choices?: readonly string[];
}

/** An argument that is no flag. */
export interface ArgumentDefinition {
  /** In capitals, as in `IMAGE`. */
  readonly name: string;
  readonly isOptional?: boolean;
  readonly choices?: readonly string[];
}

/** The flags that were given. */
export interface GivenFlags {
  has(name: string): boolean;
  text(name: string): string | undefined;
}

/** What a command gets. */
export interface Call {
  readonly args: readonly string[];
  readonly flags: GivenFlags;
  readonly out: Output;
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Opens the way to the services; it is closed when the command ends. */
  readonly open: OpenReach;
}

/** Runs a command; the number is its exit code, 0 when there is none. */
export type Handler = (call: Call) => Promise<number | undefined>;

/** One command: help, completion and the search for misspelt names come from this. */
export interface CommandDefinition {
  /** Its words, as in `gc run`. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** More for its own help, lines of at most 100 characters. */
  readonly details?: readonly string[];
  readonly args?: readonly ArgumentDefinition[];
  readonly flags?: readonly FlagDefinition[];
  /** Whether the flags of the way to nodes apply. */
  readonly reaches: 'nodes' | 'nothing';
  /** Loads the code: nothing of a command is loaded before it is used. */
  readonly load: () => Promise<Handler>;
}
