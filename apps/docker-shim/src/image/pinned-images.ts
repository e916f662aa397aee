import { namesImage, writtenNames, type ListedNames } from '@stowage/image-ref';

/** The label by which containerd pins images. */
const containerdPin = { name: 'io.cri-containerd.pinned', value: 'pinned' };

export interface PinRules {
  /** Names and ids, in which `*` stands for any text. */
  readonly pinnedImages: readonly string[];
  /** Labels, as `name` or `name=value`. */
  readonly pinnedImageLabels: readonly string[];
  readonly sandboxImage: string;
}

/** Says which images a collector is to leave alone. */
export function pinnedImages({
  pinnedImages: patterns,
  pinnedImageLabels,
  sandboxImage,
}: PinRules): (image: ListedNames, labels: Readonly<Record<string, string>>) => boolean {
  const globs = patterns.map(globPattern);
  const pins = pinnedImageLabels.map((label) => {
    const at = label.indexOf('=');
    return at < 0 ? { name: label } : { name: label.slice(0, at), value: label.slice(at + 1) };
  });
  const byLabel: readonly { name: string; value?: string }[] = [containerdPin, ...pins];
  return (image, labels) =>
    byLabel.some(({ name, value }) =>
      value === undefined ? name in labels : labels[name] === value,
    ) ||
    (sandboxImage !== '' && namesImage(sandboxImage, image)) ||
    (globs.length > 0 &&
      [...writtenNames(image)].some((name) => globs.some((glob) => glob.test(name))));
}

const globPattern = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .split('*')
      .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
      .join('.*')}$`,
    's',
  );
