/**
 * Views of memory by its address: for an isolate that is told where another one has mapped something.
 *
 * @module
 */

/**
 * Memory of this process as an ArrayBuffer. It owns nothing: whoever mapped the memory must keep it mapped for as long as
 * the view is used, in every isolate.
 *
 * @param address The first byte's address in this process.
 * @param length Bytes.
 * @throws {RangeError} The address is null.
 */
export function addressView(address: bigint, length: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null) throw new RangeError(`Cannot view ${length} bytes of memory: the address is 0`);
  return Deno.UnsafePointerView.getArrayBuffer(pointer, length);
}
