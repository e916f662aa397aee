export class Counter {
  private count = 0;

  next = () => (this.count += 1);
}
