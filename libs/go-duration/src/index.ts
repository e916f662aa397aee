export { formatGoDuration, parseGoDuration, shortGoDuration } from './go-duration';
