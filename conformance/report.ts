import type { ConformanceReport } from './run';

/** The lines the command prints: sections, failures below their section, pending files, total. */
export function reportLines(report: ConformanceReport): string[] {
  const lines: string[] = [];
  const total = { passed: 0, failed: 0, notApplicable: 0, uncovered: 0, pending: 0 };
  for (const section of report.sections) {
    const name = `${section.file} ${section.section}`;
    total.passed += section.passed;
    total.failed += section.failures.length;
    total.notApplicable += section.notApplicable;
    total.uncovered += section.uncovered;
    if (section.uncovered > 0) {
      lines.push(`${name}: NOT COVERED, no adapter runs its ${section.uncovered} cases`);
      continue;
    }
    const why = section.reason === undefined ? '' : ` (${section.reason})`;
    lines.push(
      `${name}: ${section.passed} passed, ${section.failures.length} failed, ` +
        `${section.notApplicable} not applicable${why}`,
    );
    for (const { id, want, got } of section.failures) {
      lines.push(`  FAILED ${id}`, `    wanted ${want}`, `    got    ${got}`);
    }
  }
  for (const { file, cases } of report.pending) {
    total.pending += cases;
    lines.push(`${file}: PENDING, ${cases} cases not run (conformance/pending.ts)`);
  }
  for (const file of report.wronglyPending) {
    lines.push(`${file}: has an adapter, so it must leave conformance/pending.ts`);
  }
  lines.push(
    `total: ${total.passed} passed, ${total.failed} failed, ${total.notApplicable} not applicable` +
      (total.uncovered > 0 ? `, ${total.uncovered} not covered` : '') +
      (total.pending > 0
        ? `, ${total.pending} pending in ${report.pending.length} ${report.pending.length === 1 ? 'file' : 'files'}`
        : ''),
  );
  return lines;
}
