export class Counter {
  #count = 0;

  private constructor(private readonly step: number) {}

  static by = (step: number) => new Counter(step);
  next = () => (this.#count += this.step);
}
