/**
 * Mapped memory.
 *
 * @module
 */

import { addressView } from "./address_view.ts";
import { cString } from "./c_string.ts";
import { Descriptor } from "./descriptor.ts";
import { check, EINVAL, ENOMEM, errno, SystemError } from "./errno.ts";
import { openLibrary } from "./library.ts";

export { addressView } from "./address_view.ts";

const libc = openLibrary({
  // void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
  mmap: { parameters: ["u64", "u64", "i32", "i32", "i32", "i64"], result: "u64" },
  // int munmap(void *address, size_t length);
  munmap: { parameters: ["u64", "u64"], result: "i32" },
  // int madvise(void *address, size_t length, int advice);
  madvise: { parameters: ["u64", "u64", "i32"], result: "i32" },
  // int memfd_create(const char *name, unsigned int flags);
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  // int ftruncate(int fd, off_t length);
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  // int fcntl(int fd, int command, ...);  here: an int
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
});

/** What may be done with mapped memory. Source: PROT_* of asm-generic/mman-common.h. */
export const Protection = {
  /** PROT_NONE */
  none: 0,
  /** PROT_READ */
  read: 1,
  /** PROT_READ | PROT_WRITE */
  readWrite: 3,
} as const;

/** Flags of mmap. Source: asm-generic/mman-common.h, mman.h, linux/mman.h. */
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MAP_POPULATE = 0x8000;
/** Advice of madvise: huge pages are wanted. Source: asm-generic/mman-common.h. */
const MADV_HUGEPAGE = 14;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Flags of memfd_create and the seals that forbid everyone to change its size. Source: linux/memfd.h, linux/fcntl.h. */
const MFD_CLOEXEC = 0x1;
const MFD_ALLOW_SEALING = 0x2;
const MFD_HUGETLB = 0x4;
const MFD_HUGE_2MB = 21 << 26;
const F_ADD_SEALS = 1033;
const F_SEAL_SEAL = 0x1;
const F_SEAL_SHRINK = 0x2;
const F_SEAL_GROW = 0x4;

const PAGE_SIZE = 4096;
const HUGE_PAGE_SIZE = 2 * 1024 * 1024;
/** Inaccessible bytes on either side of memory that a guest uses: an index just outside it faults instead of hitting. */
const GUARD_SIZE = 64 * 1024;
const NO_DESCRIPTOR = -1;

function map(address: bigint, length: bigint, protection: number, flags: number, fd: number, offset: bigint): bigint {
  const result = libc.mmap(address, length, protection, flags, fd, offset);
  const error = result === MAP_FAILED ? errno[0] : 0;
  if (error === 0) return result;
  throw new SystemError(
    error,
    `mmap(${length} bytes of descriptor ${fd} at ${offset})`,
    error === ENOMEM
      ? "choose less memory, or raise ulimit -v, vm.max_map_count or the number of huge pages"
      : undefined,
  );
}

/** Whole pages of memory and the duty to unmap them. */
export class MemoryMapping implements Disposable {
  /** The first byte's address in this process. */
  readonly address: bigint;
  /** Bytes, without guards. */
  readonly length: number;
  /**
   * The memory. Disposing detaches it: views of this isolate then have no bytes. Views that other isolates made of the
   * address would point to nothing; they must be gone before.
   */
  readonly buffer: ArrayBuffer;
  /** The memory's own descriptor, by which other processes can map it; undefined where it was mapped from another's. */
  readonly descriptor: Descriptor | undefined;
  readonly #reservation: bigint;
  readonly #reservedLength: bigint;
  #disposed = false;

  private constructor(
    address: bigint,
    length: number,
    descriptor: Descriptor | undefined,
    reservation: bigint,
    reservedLength: bigint,
  ) {
    this.address = address;
    this.length = length;
    this.descriptor = descriptor;
    this.#reservation = reservation;
    this.#reservedLength = reservedLength;
    this.buffer = addressView(address, length);
  }

  /**
   * New zeroed memory that other processes can share: a sealed memory file, mapped with an inaccessible guard on either
   * side, aligned so that the kernel can use huge pages. Pages are taken from the host when they are first used.
   *
   * @param name Appears in /proc as `memfd:<name>`.
   * @param length Bytes: whole pages of 4 KiB, or of 2 MiB with huge pages.
   * @param options `hugePages`: from the host's reserved huge pages (vm.nr_hugepages) only.
   * @throws {RangeError} The length is not whole pages.
   * @throws {SystemError} The host has not that much memory to give.
   */
  static memfd(
    name: string,
    length: number,
    options: { hugePages?: boolean } = {},
  ): MemoryMapping & { readonly descriptor: Descriptor } {
    const hugePages = options.hugePages ?? false;
    const pageSize = hugePages ? HUGE_PAGE_SIZE : PAGE_SIZE;
    requirePages("memory", length, pageSize);
    const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (hugePages ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
    const fd = libc.memfd_create(cString(name), flags);
    const descriptor = new Descriptor(
      check(
        fd < 0 ? -errno[0] : fd,
        `memfd_create(${JSON.stringify(name)})`,
        hugePages ? HUGE_PAGES_REMEDY : undefined,
      ),
    );
    try {
      const sized = libc.ftruncate(descriptor.fd, BigInt(length));
      check(sized < 0 ? -errno[0] : 0, `ftruncate(memory file, ${length})`, hugePages ? HUGE_PAGES_REMEDY : undefined);
      // A peer that is given the file could shrink it otherwise, and our next access would end this process.
      const sealed = libc.fcntl(descriptor.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
      check(sealed < 0 ? -errno[0] : 0, "fcntl(memory file, F_ADD_SEALS)");
      return MemoryMapping.#mapGuarded(length, descriptor) as MemoryMapping & { readonly descriptor: Descriptor };
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /**
   * New zeroed memory that belongs to this process alone, guarded and aligned as that of {@linkcode memfd}. The kernel backs it
   * by huge pages where it has them, which it does for shared memory only if its administrator allows it: a guest's first
   * touch of its memory is then one fault for 2 MiB instead of 512.
   *
   * @param length Bytes: whole pages of 4 KiB.
   * @throws {RangeError} The length is not whole pages.
   * @throws {SystemError} The host has not that much address space to give.
   */
  static anonymous(length: number): MemoryMapping {
    requirePages("memory", length, PAGE_SIZE);
    const mapping = MemoryMapping.#mapGuarded(length, undefined);
    // A kernel without huge pages refuses the advice, and nothing is lost.
    const advised = libc.madvise(mapping.address, BigInt(length), MADV_HUGEPAGE) < 0 ? errno[0] : 0;
    if (advised !== 0 && advised !== EINVAL) throw new SystemError(advised, `madvise(${length} bytes, MADV_HUGEPAGE)`);
    return mapping;
  }

  static #mapGuarded(length: number, descriptor: Descriptor | undefined): MemoryMapping {
    const bytes = BigInt(length);
    const guard = BigInt(GUARD_SIZE);
    const alignment = BigInt(HUGE_PAGE_SIZE);
    const reservedLength = guard + alignment + bytes + guard;
    const inaccessible = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const reservation = map(0n, reservedLength, Protection.none, inaccessible, NO_DESCRIPTOR, 0n);
    try {
      const wanted = (reservation + guard + alignment - 1n) / alignment * alignment;
      const kind = descriptor === undefined ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
      const flags = kind | MAP_NORESERVE | MAP_FIXED;
      const address = map(wanted, bytes, Protection.readWrite, flags, descriptor?.fd ?? NO_DESCRIPTOR, 0n);
      return new MemoryMapping(address, length, descriptor, reservation, reservedLength);
    } catch (error) {
      unmap(reservation, reservedLength);
      throw error;
    }
  }

  /**
   * Memory that a descriptor offers, shared: a file, a vCPU's run page, the rings of an io_uring. The descriptor stays
   * its owner's and may be closed before the mapping.
   *
   * @param fd The descriptor.
   * @param offset Where in it to begin, in bytes: whole pages.
   * @param length Bytes; the kernel maps whole pages.
   * @param protection Of {@linkcode Protection}.
   * @param options `populate`: take all pages now.
   * @throws {SystemError} It cannot be mapped so.
   */
  static ofDescriptor(
    fd: number,
    offset: number,
    length: number,
    protection: number,
    options: { populate?: boolean } = {},
  ): MemoryMapping {
    requirePages("offset", offset, PAGE_SIZE, 0);
    const flags = MAP_SHARED | (options.populate ? MAP_POPULATE : 0);
    const address = map(0n, BigInt(length), protection, flags, fd, BigInt(offset));
    return new MemoryMapping(address, length, undefined, address, BigInt(length));
  }

  /** Detaches the buffer, unmaps the memory, and closes its own descriptor. Further calls do nothing. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // The old buffer and all views of it become empty, so that no stale view of this isolate can reach unmapped memory.
    this.buffer.transfer(0);
    unmap(this.#reservation, this.#reservedLength);
    this.descriptor?.close();
  }
}

const HUGE_PAGES_REMEDY = "reserve 2 MiB pages first: sysctl vm.nr_hugepages=<count>";

function unmap(address: bigint, length: bigint): void {
  const result = libc.munmap(address, length);
  check(result < 0 ? -errno[0] : 0, `munmap(0x${address.toString(16)}, ${length})`);
}

function requirePages(what: string, value: number, pageSize: number, least = pageSize): void {
  if (Number.isSafeInteger(value) && value >= least && value % pageSize === 0) return;
  throw new RangeError(
    `Cannot map memory: the ${what} is ${value} bytes, expected a multiple of ${pageSize}, at least ${least}`,
  );
}
