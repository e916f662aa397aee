export class Counter {
  next = () => this.step();

  private step() {
    return 1;
  }
}
