import { eventDefinition, eventNames, type EventName } from './catalog';

/** First tokens of every event subject. */
export const eventSubjectPrefix = 'stowage.event';

/** Name of the JetStream stream that holds the events. */
export const streamName = 'STOWAGE_EVENTS';

/** Subjects of that stream. */
export const streamSubjects: readonly string[] = [`${eventSubjectPrefix}.>`];

/** A name cannot be used in a subject. */
export class SubjectError extends Error {
  override readonly name = 'SubjectError';
  readonly code = 'SUBJECT_INVALID';
  readonly grpcStatus = 'INVALID_ARGUMENT';

  constructor(
    /** What is invalid: `node`, `app`, `verb` or `subject`. */
    readonly what: string,
    readonly value: string,
    /** What is allowed. */
    readonly rule: string,
  ) {
    super(`${what} ${JSON.stringify(value)} is not valid: ${rule}`);
  }
}

const nodeRule =
  'at most 253 letters, digits, "-" and ".", each label beginning and ending with a letter or digit';
const nodePattern =
  /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const tokenRule = 'lower-case letters, digits and "-", beginning with a letter';
const tokenPattern = /^[a-z][a-z0-9-]{0,62}$/;

function checkToken(what: string, value: string): string {
  if (!tokenPattern.test(value)) throw new SubjectError(what, value, tokenRule);
  return value;
}

/**
 * Checks a node name (a DNS subdomain, either case) and returns it. Throws {@link SubjectError}.
 */
export function checkNodeName(node: string): string {
  if (node.length > 253 || !nodePattern.test(node)) throw new SubjectError('node', node, nodeRule);
  return node;
}

/**
 * Checks the name of an app, as in `image-service`, and returns it. Throws {@link SubjectError}.
 */
export function checkAppName(app: string): string {
  return checkToken('app', app);
}

/**
 * A node name as one NATS subject token: dots become `_`, which cannot stand in a node name, so
 * {@link nodeOfToken} turns it back. Throws {@link SubjectError} for what is not a node name.
 */
export function subjectToken(node: string): string {
  return checkNodeName(node).replaceAll('.', '_');
}

/**
 * The node name of a subject token. Throws {@link SubjectError} for what {@link subjectToken}
 * cannot have made.
 */
export function nodeOfToken(token: string): string {
  if (token.includes('.')) {
    throw new SubjectError('node', token, 'a node token is one subject token, without "."');
  }
  return checkNodeName(token.replaceAll('_', '.'));
}

/** Subject an event is published on, as in `stowage.event.worker-1_example_net.image.pulled`. */
export function eventSubject(node: string, name: EventName): string {
  const { entity, event } = eventDefinition(name);
  return `${eventSubjectPrefix}.${subjectToken(node)}.${entity}.${event}`;
}

/** Subject filter for consumers: one event or all, of one node or all. */
export function eventFilter(of: { node?: string; name?: EventName } = {}): string {
  const node = of.node === undefined ? '*' : subjectToken(of.node);
  if (of.name === undefined) return `${eventSubjectPrefix}.${node}.>`;
  const { entity, event } = eventDefinition(of.name);
  return `${eventSubjectPrefix}.${node}.${entity}.${event}`;
}

/** A parsed event subject; `name` is absent for an event this version does not know. */
export interface ParsedEventSubject {
  node: string;
  entity: string;
  event: string;
  name?: EventName;
}

/** Takes an event subject apart. Throws {@link SubjectError} when it is none. */
export function parseEventSubject(subject: string): ParsedEventSubject {
  const [first, second, node, entity, event, ...rest] = subject.split('.');
  if (
    `${first ?? ''}.${second ?? ''}` !== eventSubjectPrefix ||
    node === undefined ||
    entity === undefined ||
    event === undefined ||
    rest.length > 0
  ) {
    throw new SubjectError('subject', subject, 'stowage.event.<node>.<entity>.<event>');
  }
  const name = eventNames.find((candidate) => {
    const definition = eventDefinition(candidate);
    return definition.entity === entity && definition.event === event;
  });
  return { node: nodeOfToken(node), entity, event, ...(name === undefined ? {} : { name }) };
}

/** Subject of a command, as in `stowage.cmd.worker-1.gc-worker.plan`. */
export function commandSubject(node: string, app: string, verb: string): string {
  return `stowage.cmd.${subjectToken(node)}.${checkAppName(app)}.${checkToken('verb', verb)}`;
}
