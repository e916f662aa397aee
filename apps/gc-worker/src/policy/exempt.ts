import { imageKeys, isHexIdentifier, referenceKey, writtenNames } from '@stowage/image-ref';
import type { ImageRecord } from '../records/image-record';
import { exemptPatternProblem, glob, nameMatch, type PatternNames } from './exempt-pattern';

/**
 * An image is exempt when all its conditions hold. At least one condition; times are milliseconds.
 */
export interface ExemptRule {
  /** Pattern over references, as in `exemptImages`. */
  readonly image?: string;
  /** Manifest digest or image id, in full; an id with or without `sha256:`. */
  readonly digest?: string;
  /**
   * Label of the image, `name` or `name=value`; `*` in the value stands for anything. Needs a
   * runtime that reports labels.
   */
  readonly label?: string;
  /** Glob over the namespaces of the pods that use it or have used it since it is known. */
  readonly namespace?: string;
  /** Exempt while it has been known for less than this. */
  readonly youngerThanMs?: number;
}

/** What exempt rules look at. `labels` are absent where the runtime does not report them. */
export type ExemptFacts = Pick<ImageRecord, 'imageId' | 'repoTags' | 'repoDigests'> &
  Partial<Pick<ImageRecord, 'firstDetected' | 'namespaces'>> & {
    readonly labels?: Readonly<Record<string, string>>;
  };

/** Returns by which pattern or rule an image is exempt at `now`, if any. */
export type ExemptMatch = (image: ExemptFacts, now: number) => string | undefined;

const ruleKeys = ['image', 'digest', 'label', 'namespace', 'youngerThanMs'];
const digestPattern = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,}$/;

/** What is allowed instead, where a rule cannot be used. */
export function exemptRuleProblem(rule: ExemptRule): string | undefined {
  const given = Object.entries(rule).filter(([, value]) => value !== undefined);
  if (given.length === 0 || given.some(([name]) => !ruleKeys.includes(name))) {
    return 'one or more of image, digest, label, namespace, youngerThan';
  }
  if (given.some(([, value]) => value === '')) return 'no empty text';
  if (
    rule.digest !== undefined &&
    !digestPattern.test(rule.digest) &&
    !isHexIdentifier(rule.digest)
  ) {
    return 'a full digest, such as sha256:9f86d08…';
  }
  const patternProblem = rule.image === undefined ? undefined : exemptPatternProblem(rule.image);
  if (patternProblem !== undefined) return `an image that a reference can match: ${patternProblem}`;
  if (rule.label?.startsWith('=') === true) return 'a label as name or name=value';
  const { youngerThanMs } = rule;
  if (youngerThanMs !== undefined && (!Number.isFinite(youngerThanMs) || youngerThanMs <= 0)) {
    return 'a youngerThan of more than 0';
  }
  return undefined;
}

/** Whether labels must be known before anything may be removed. */
export const needsLabels = (rules: readonly ExemptRule[]): boolean =>
  rules.some(({ label }) => label !== undefined);

/** One pattern or rule by which images are exempt. */
export interface Exemption {
  /** It in words, as verdicts give it. */
  readonly text: string;
  readonly matches: (image: ExemptFacts, now: number) => boolean;
}

/**
 * Compiles the exempt list and rules. A pattern is a glob over references, in full
 * (`docker.io/library/nginx:1.*`) or familiar form (`nginx:1.*`), or an image id or digest. `*`
 * stays within a path component, `**` crosses them. A pattern without tag and digest
 * (`quay.io/base/*`) covers every tag and digest. One that ends in a digest means that content,
 * whatever name and tag stand before it. References without wildcards are compared as image-ref
 * compares references. `/…/` is a regular expression over the same names.
 */
export function compileExempt(
  patterns: readonly string[],
  rules: readonly ExemptRule[] = [],
): ExemptMatch {
  const matchers = patterns.map((pattern) => ({ text: pattern, matches: nameMatch(pattern) }));
  const compiled = rules.map((rule) => ({ text: ruleText(rule), matches: compileRule(rule) }));
  if (matchers.length === 0 && compiled.length === 0) return () => undefined;
  return (image, now) => {
    const names = new Names(image);
    return (
      matchers.find(({ matches }) => matches(names))?.text ??
      compiled.find(({ matches }) => matches(image, names, now))?.text
    );
  };
}

/** The exempt list and rules one by one, to find out what each is for. */
export const exemptions = (
  patterns: readonly string[],
  rules: readonly ExemptRule[],
): Exemption[] => [
  ...patterns.map((text): Exemption => {
    const matches = nameMatch(text);
    return { text, matches: (image) => matches(new Names(image)) };
  }),
  ...rules.map((rule): Exemption => {
    const matches = compileRule(rule);
    return {
      text: ruleText(rule),
      matches: (image, now) => matches(image, new Names(image), now),
    };
  }),
];

/** A rule in words, as verdicts give it. */
function ruleText({ youngerThanMs, ...texts }: ExemptRule): string {
  const parts = Object.entries(texts).map(([name, value]) => `${name} ${value}`);
  if (youngerThanMs !== undefined) parts.push(`younger than ${youngerThanMs / 1000} s`);
  return parts.join(', ');
}

/** Names of one image, worked out when a pattern asks. */
class Names implements PatternNames {
  #foundKeys?: ReadonlySet<string>;
  #foundWritten?: readonly string[];

  constructor(private readonly image: ExemptFacts) {}

  get id(): string {
    return referenceKey(this.image.imageId);
  }

  get keys(): ReadonlySet<string> {
    return (this.#foundKeys ??= imageKeys(this.image));
  }

  get written(): readonly string[] {
    return (this.#foundWritten ??= [...writtenNames(this.image)]);
  }
}

type RuleMatch = (image: ExemptFacts, names: Names, now: number) => boolean;

function compileRule({ image, digest, label, namespace, youngerThanMs }: ExemptRule): RuleMatch {
  const conditions: RuleMatch[] = [];
  if (image !== undefined) {
    const matches = nameMatch(image);
    conditions.push((_, names) => matches(names));
  }
  if (digest !== undefined) {
    const key = referenceKey(digest);
    conditions.push((_, { keys }) => keys.has(key));
  }
  if (label !== undefined) {
    const [name = '', value] = label.split(/=(.*)/s, 2);
    const matches = value === undefined ? () => true : textMatch(value);
    conditions.push(({ labels }) => labels?.[name] !== undefined && matches(labels[name]));
  }
  if (namespace !== undefined) {
    const matches = glob(namespace);
    conditions.push(({ namespaces }) => namespaces?.some((name) => matches(name)) === true);
  }
  if (youngerThanMs !== undefined) {
    conditions.push(
      ({ firstDetected }, _, now) => firstDetected != null && now - firstDetected < youngerThanMs,
    );
  }
  return (facts, names, now) => conditions.every((condition) => condition(facts, names, now));
}

/** Label values are free text, so only `*` is special. */
function textMatch(pattern: string): (text: string) => boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[\\^$.|?*+()[\]{}]/g, '\\$&'));
  const expression = new RegExp(`^${parts.join('[^]*')}$`);
  return (text) => expression.test(text);
}
