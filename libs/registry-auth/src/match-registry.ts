import { BadPatternError, matchPath } from '@stowage/image-ref';
import { parseSchemeless, splitHostPort, type RegistryUrl } from './registry-url';

/**
 * Kubelet's match of a schemeless pattern against a schemeless target (an image name without tag):
 * equal ports as text, as many host labels, each label shell-style, and the pattern's path a plain
 * string prefix of the target's. What cannot be parsed does not match.
 */
export function registryMatches(pattern: string, target: string): boolean {
  const patternUrl = parseSchemeless(pattern);
  const targetUrl = parseSchemeless(target);
  return patternUrl != null && targetUrl != null && urlMatches(patternUrl, targetUrl);
}

/** registryMatches of parsed URLs. */
export function urlMatches(pattern: RegistryUrl, target: RegistryUrl): boolean {
  const patternHost = splitHostPort(pattern.host);
  const targetHost = splitHostPort(target.host);
  const patternLabels = patternHost.host.split('.');
  const targetLabels = targetHost.host.split('.');
  if (
    patternHost.port !== targetHost.port ||
    patternLabels.length !== targetLabels.length ||
    !target.path.startsWith(pattern.path)
  ) {
    return false;
  }
  return patternLabels.every((label, index) => labelMatches(label, targetLabels[index] ?? ''));
}

function labelMatches(pattern: string, label: string): boolean {
  try {
    return matchPath(pattern, label);
  } catch (error) {
    if (error instanceof BadPatternError) return false;
    throw error;
  }
}

/**
 * True for image names that kubelet may look up under Docker Hub's key when nothing else matched.
 */
export function isDockerHubName(image: string): boolean {
  const slash = image.indexOf('/');
  const first = slash < 0 ? image : image.slice(0, slash);
  if (first === '') return false;
  if (slash < 0 || first === 'docker.io' || first === 'index.docker.io') return true;
  return !first.includes('.') && !first.includes(':');
}
