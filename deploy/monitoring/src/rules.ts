import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

/** A rule as Prometheus reads it: an alert or a recording. */
export interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A file of rules. */
export interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

/** The folder with what is delivered: rules, dashboards, provisioning. */
export const monitoringDir = path.resolve(__dirname, '..');

/** The rules that are delivered. */
export const readRules = (): RuleFile =>
  parse(readFileSync(path.join(monitoringDir, 'rules', 'stowage.yaml'), 'utf8')) as RuleFile;

/** All rules of a file. */
export const rulesOf = ({ groups }: RuleFile): Rule[] => groups.flatMap(({ rules }) => [...rules]);
