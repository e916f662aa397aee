export { cleanLines, cleanText, isClean } from './clean-text';
export { componentFinding, type TroubledComponent } from './component-finding';
export {
  diskCells,
  diskColumns,
  trendText,
  usedCell,
  type DiskMarks,
  type DiskStatus,
} from './disk-table';
export { credentialText, eventText, progressText, type EventText } from './event-text';
export { catalogue, finding, inOrder, type Finding, type FindingId, type Level } from './finding';
export { stateCell } from './health-state';
export { imageName, planText, shortId } from './image-text';
export { natsProblem, runtimeProblem, stateProblem } from './reason-findings';
export { cellText, type Cell, type Column, type Table, type Tone } from './table';
export { ageText, parseSpan, sizeText, spanText } from './units';
