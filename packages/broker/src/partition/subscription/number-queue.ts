/** First in, first out, numbers only, in a ring that grows. */
export class NumberQueue {
  #ring: Float64Array = new Float64Array(64);
  #first = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#ring.length) {
      const larger = new Float64Array(this.#length * 2);
      for (let at = 0; at < this.#length; at++) larger[at] = this.#at(at);
      this.#ring = larger;
      this.#first = 0;
    }
    this.#ring[(this.#first + this.#length++) & (this.#ring.length - 1)] = value;
  }

  /** -1: empty. */
  shift(): number {
    if (this.#length === 0) return -1;
    const value = this.#at(0);
    this.#first = (this.#first + 1) & (this.#ring.length - 1);
    this.#length--;
    return value;
  }

  #at(place: number): number {
    return this.#ring[(this.#first + place) & (this.#ring.length - 1)] as number;
  }
}
