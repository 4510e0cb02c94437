/**
 * Hands a guest's output to a listener that may be slow: each stream's pieces one after the other, in order.
 *
 * @module
 */

/** A piece of output on its way. */
export interface Delivery {
  /** Streams are independent of each other. */
  readonly stream: string;
  /** Hands it over; the promise of a slow receiver holds back what follows in the same stream. */
  deliver(): void | Promise<void>;
  /** Called when it has been received, or could not be. */
  consumed(): void;
}

/** All streams of a machine. */
export class OutputDelivery {
  readonly #queues = new Map<string, Delivery[]>();
  readonly #failed: (cause: unknown) => void;
  #waiting: PromiseWithResolvers<void> | undefined;
  #busy = 0;
  #isClosed = false;

  /** @param failed Is told what the receiver threw, once. It gets nothing more. */
  constructor(failed: (cause: unknown) => void) {
    this.#failed = failed;
  }

  /** Adds a piece. */
  add(delivery: Delivery): void {
    const queue = this.#queues.get(delivery.stream) ?? [];
    this.#queues.set(delivery.stream, queue);
    queue.push(delivery);
    if (queue.length === 1) this.#proceed(queue);
  }

  /** Delivers nothing more. */
  close(): void {
    this.#isClosed = true;
  }

  /** Whether everything has been received. */
  get isIdle(): boolean {
    return this.#busy === 0;
  }

  /** Resolves when everything has been received. */
  idle(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    return (this.#waiting ??= Promise.withResolvers()).promise;
  }

  /** Delivers until the queue is empty or its receiver asks for time. */
  #proceed(queue: Delivery[]): void {
    for (; queue.length > 0; this.#shift(queue)) {
      const pending = this.#deliver(queue[0]);
      if (pending === undefined) continue;
      this.#busy++;
      void pending.catch((cause) => this.#break(cause)).then(() => this.#received(queue));
      return;
    }
  }

  #deliver(delivery: Delivery): Promise<void> | undefined {
    if (this.#isClosed) return undefined;
    try {
      const result = delivery.deliver();
      return result instanceof Promise ? result : undefined;
    } catch (cause) {
      this.#break(cause);
      return undefined;
    }
  }

  #received(queue: Delivery[]): void {
    this.#shift(queue);
    this.#proceed(queue);
    if (--this.#busy > 0) return;
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  #shift(queue: Delivery[]): void {
    queue.shift()?.consumed();
  }

  #break(cause: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#failed(cause);
  }
}
