/**
 * The seam through which PCI functions raise message-signalled interrupts. KVM (irqfd and GSI routing) is one
 * implementation, a socket peer another, a recorder in tests a third.
 *
 * @module
 */

/** Hands out message-signalled interrupt vectors to PCI functions. */
export interface InterruptController {
  /**
   * Reserves `count` vectors.
   *
   * @param owner Name of the function that asks, for error messages.
   * @param deviceId Requester id (bus/device/function), for controllers that route by it.
   * @throws {Error} No more vectors can be had; the message says how many were asked for and how many are left.
   */
  allocate(owner: string, deviceId: number, count: number): InterruptVectors;
}

/** The vectors of one PCI function. All are detached at first. Disposing frees all of them. */
export interface InterruptVectors extends Disposable {
  /** How many vectors there are. */
  readonly count: number;
  /** Programs where a vector's message goes and attaches it: from now on {@linkcode trigger} delivers. */
  attach(vector: number, addressLow: number, addressHigh: number, data: number): void;
  /** Detaches a vector: nothing is delivered, not even by a holder of its {@linkcode notifier}. */
  detach(vector: number): void;
  /** Delivers one attached vector's message. The caller checks masks first. */
  trigger(vector: number): void;
  /**
   * The event descriptor whose writing delivers the vector, to be handed to the kernel or to another process;
   * undefined where the controller has none.
   */
  notifier(vector: number): number | undefined;
}
