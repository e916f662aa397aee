import fc from 'fast-check';
import { LayerShares, togetherBytes } from './layer-shares';

const image = (imageId: string, sizeBytes: number, ...layers: string[]) => ({
  imageId,
  sizeBytes,
  layers: layers.length === 0 ? undefined : layers,
});

describe('LayerShares', () => {
  it('counts only what an image has on top of a base image that stays', () => {
    const base = image('base', 100, 'a');
    const app = image('app', 130, 'a', 'b');
    const shares = new LayerShares([base, app]);
    expect(shares.share(app)).toEqual({ bytes: 30, isEstimate: false });
    expect(shares.share(base)).toEqual({ bytes: 0, isEstimate: false });
    shares.remove(app);
    expect(shares.share(base)).toEqual({ bytes: 100, isEstimate: false });
  });

  it('gives the shared layers to the last image that has them', () => {
    const [one, two] = [image('one', 130, 'a', 'b'), image('two', 150, 'a', 'c')];
    const shares = new LayerShares([one, two]);
    // Nobody tells how large layer a is, so this is too high, and says so.
    expect(shares.share(one)).toEqual({ bytes: 130, isEstimate: true });
    shares.remove(one);
    expect(shares.share(two)).toEqual({ bytes: 150, isEstimate: false });
  });

  it('knows the size of a chain from a base image below the shared part', () => {
    const images = [
      image('base', 100, 'a'),
      image('one', 140, 'a', 'b', 'c'),
      image('two', 160, 'a', 'b', 'd'),
    ];
    expect(new LayerShares(images).share(images[1]!)).toEqual({ bytes: 40, isEstimate: true });
  });

  it('expects nothing of an image that another one has the same layers as', () => {
    const [one, two] = [image('one', 100, 'a'), image('two', 100, 'a')];
    expect(new LayerShares([one, two]).share(one)).toEqual({ bytes: 0, isEstimate: false });
  });

  it('takes the reported size, as an estimate, where the runtime tells no layers', () => {
    const shares = new LayerShares([image('x', 70)]);
    expect(shares.share(image('x', 70))).toEqual({ bytes: 70, isEstimate: true });
  });

  it('is exact for any images that all have their base images, in any order of removal', () => {
    const layer = fc.integer({ min: 0, max: 3 }).map(String);
    const chains = fc.uniqueArray(fc.array(layer, { minLength: 1, maxLength: 4 }), {
      selector: (layers) => layers.join(),
      maxLength: 12,
    });
    fc.assert(
      fc.property(chains, fc.infiniteStream(fc.nat()), (wanted, order) => {
        // Every chain below a chain is an image too; a chain's own layer is as large as its length
        // and name say.
        const all = new Map<string, string[]>();
        for (const layers of wanted) {
          for (let at = 1; at <= layers.length; at += 1) {
            all.set(layers.slice(0, at).join(), layers.slice(0, at));
          }
        }
        const layerSize = (layers: string[]) => layers.length * 10 + Number(layers.at(-1)) + 1;
        const size = (layers: string[]): number =>
          layers.reduce((sum, _, at) => sum + layerSize(layers.slice(0, at + 1)), 0);
        const images = [...all].map(([id, layers]) => image(id, size(layers), ...layers));
        const real = [...all.values()].reduce((sum, layers) => sum + layerSize(layers), 0);
        const shuffled = images
          .map((one) => ({ one, at: order.next().value }))
          .sort((a, b) => a.at - b.at)
          .map(({ one }) => one);
        expect(togetherBytes(shuffled)).toBe(real);
      }),
    );
  });
});
