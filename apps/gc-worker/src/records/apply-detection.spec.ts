import { image, minutes, now } from '../testing/plan-fixtures';
import { applyDetection, type Detection } from './apply-detection';
import type { ImageRecord, ImageUser } from './image-record';
import type { ListedImage } from '../runtime/runtime';

const user: ImageUser = { as: 'container', containerId: 'c1' };
const listed = (imageId: string, values: Partial<ListedImage> = {}): ListedImage => ({
  imageId,
  repoTags: [],
  repoDigests: [],
  sizeBytes: 100,
  pinned: false,
  runtimeHandler: '',
  ...values,
});
const known = (...records: ImageRecord[]) =>
  new Map(records.map((record) => [record.imageId, record]));
const detect = (records: ReadonlyMap<string, ImageRecord>, values: Partial<Detection>) =>
  applyDetection(records, { images: [], users: new Map(), detectTime: now, now, ...values });

describe('applyDetection', () => {
  it('gives a new image the detection time and no use', () => {
    const { records, detected } = detect(new Map(), { images: [listed('a')] });
    expect(records.get('a')).toMatchObject({ firstDetected: now, lastUsed: null, usedBy: [] });
    expect(detected.map(({ imageId }) => imageId)).toEqual(['a']);
  });

  it('keeps the first-detected time, updates size and pinned, and dates the use', () => {
    const before = image('a', { firstDetected: now - minutes(9), sizeBytes: 1 });
    const { records, detected, vanished } = detect(known(before), {
      images: [listed('a', { sizeBytes: 7, pinned: true })],
      users: new Map([['a', [user]]]),
    });
    expect(records.get('a')).toMatchObject({
      firstDetected: now - minutes(9),
      lastUsed: now,
      usedBy: [user],
      sizeBytes: 7,
      pinned: true,
    });
    expect([detected, vanished]).toEqual([[], []]);
  });

  it('keeps the last use when nobody uses it any more', () => {
    const before = image('a', { lastUsed: now - minutes(1), usedBy: [user] });
    const { records } = detect(known(before), { images: [listed('a')] });
    expect(records.get('a')).toMatchObject({ lastUsed: now - minutes(1), usedBy: [] });
  });

  it('drops what is not listed and says so; it starts afresh when it comes back', () => {
    const before = image('a', { firstDetected: now - minutes(9), lastUsed: now - minutes(8) });
    const gone = detect(known(before), {});
    expect(gone.vanished).toEqual([before]);
    expect(gone.records.size).toBe(0);
    const back = detect(gone.records, { images: [listed('a')] });
    expect(back.records.get('a')).toMatchObject({ firstDetected: now, lastUsed: null });
  });

  it('takes the later of two entries with one id', () => {
    const images = [listed('a', { sizeBytes: 1 }), listed('a', { sizeBytes: 2 })];
    const { records, detected } = detect(new Map(), { images });
    expect(records.get('a')?.sizeBytes).toBe(2);
    expect(detected).toHaveLength(1);
  });

  it('pulls times that lie ahead back to now: the clock was set back', () => {
    const before = image('a', { firstDetected: now + minutes(600), lastUsed: now + minutes(500) });
    const { records } = detect(known(before), { images: [listed('a')] });
    expect(records.get('a')).toMatchObject({ firstDetected: now, lastUsed: now });
  });

  it('takes use of images that are not listed for nothing', () => {
    const { records } = detect(new Map(), { users: new Map([['gone', [user]]]) });
    expect(records.size).toBe(0);
  });
});
