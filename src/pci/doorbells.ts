/**
 * The seam through which a guest's notification writes reach a device without a vCPU exit. KVM's ioeventfd is one
 * implementation, a socket peer another, a recorder in tests a third.
 *
 * @module
 */

/** Makes doorbells. */
export interface Doorbells {
  /**
   * A doorbell that is at no address yet.
   *
   * @param onRing Called in the machine isolate, once for any number of rings that came together.
   */
  create(onRing: () => void): Doorbell;
}

/** One guest-physical address whose writing calls back. Disposing detaches it and frees its descriptor. */
export interface Doorbell extends Disposable {
  /** Event descriptor behind it, where there is one. */
  readonly descriptor: number | undefined;
  /** Puts the doorbell at a guest-physical address (writes of any width), moving it if it is at another. */
  attach(address: number): void;
  /** Takes it off its address. Rings that are already under way may still be delivered. */
  detach(): void;
}
