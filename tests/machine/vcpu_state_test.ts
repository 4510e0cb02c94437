import assert from "node:assert/strict";
import { kvmCpuid2, kvmCpuidEntry2 } from "../../ffi/kvm/vcpu_structs.ts";
import { cpuidOf, physicalAddressBits } from "../../src/machine/vcpu_state.ts";

interface Leaf {
  readonly function: number;
  readonly index: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

const FIELDS = ["function", "index", "eax", "ebx", "ecx", "edx"] as const;

function encode(leaves: readonly (Partial<Leaf> & { function: number })[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(kvmCpuid2.size + leaves.length * kvmCpuidEntry2.size);
  const view = new DataView(bytes.buffer);
  leaves.forEach((leaf, i) => {
    for (const field of FIELDS) {
      view.setUint32(kvmCpuid2.size + i * kvmCpuidEntry2.size + kvmCpuidEntry2.offsets[field], leaf[field] ?? 0, true);
    }
  });
  return bytes;
}

function decode(bytes: Uint8Array<ArrayBuffer>): Leaf[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const leaves: Leaf[] = [];
  for (let at: number = kvmCpuid2.size; at < bytes.length; at += kvmCpuidEntry2.size) {
    const values = FIELDS.map((field) => [field, view.getUint32(at + kvmCpuidEntry2.offsets[field], true)]);
    leaves.push(Object.fromEntries(values) as Leaf);
  }
  return leaves;
}

const ONES = 0xffff_ffff;
const HOST = encode([
  { function: 0, eax: 0x20, ebx: 0x756e6547 },
  { function: 1, eax: 0x0a2f11, ebx: 0x7_10_08_00, ecx: 0x1, edx: ONES },
  { function: 4, index: 0, eax: ONES },
  { function: 4, index: 3, eax: 0 },
  { function: 0xb, index: 0, eax: ONES, ebx: ONES, ecx: ONES, edx: ONES },
  { function: 0xb, index: 1, eax: ONES, ebx: ONES, ecx: 1, edx: ONES },
  { function: 0xb, index: 2, eax: ONES, ebx: ONES, ecx: 2, edx: ONES },
  { function: 0x1f, index: 1, ecx: 1 },
  { function: 0x8000_0008, eax: 0x3030, ecx: ONES },
  { function: 0x8000_001e, eax: 99, ebx: ONES, ecx: 5 },
]);

function leaf(leaves: readonly Leaf[], number: number, index = 0): Leaf {
  return leaves.find((leaf) => leaf.function === number && leaf.index === index)!;
}

for (const [count, idBits] of [[1, 0], [2, 1], [5, 3]]) {
  Deno.test(`CPUID describes one socket of ${count} cores, the same to each but for its place`, () => {
    for (let index = 0; index < count; index++) {
      const leaves = decode(cpuidOf(HOST, index, count));
      const features = leaf(leaves, 1);
      assert.equal(features.ebx >>> 24, index, "APIC id");
      assert.equal(features.ebx >>> 16 & 0xff, count, "logical processors");
      assert.equal(features.ebx & 0xffff, 0x0800, "the rest of EBX is the host's");
      assert.equal(features.ecx, (0x8000_0000 | 0x0100_0000 | 1) >>> 0, "hypervisor and TSC deadline");
      assert.equal(features.edx >>> 28 & 1, count > 1 ? 1 : 0, "HTT");
      assert.equal(leaf(leaves, 4).eax >>> 26, count - 1, "cores of the package");
      assert.equal(leaf(leaves, 4).eax & 0x3ff_ffff, 0x3ff_ffff);
      assert.equal(leaf(leaves, 4, 3).eax, 0, "the end of the list of caches");
      assert.deepEqual(leaf(leaves, 0xb), { function: 0xb, index: 0, eax: 0, ebx: 1, ecx: 0x100, edx: index });
      assert.deepEqual(leaf(leaves, 0xb, 1), {
        function: 0xb,
        index: 1,
        eax: idBits,
        ebx: count,
        ecx: 0x201,
        edx: index,
      });
      assert.deepEqual(leaf(leaves, 0xb, 2), { function: 0xb, index: 2, eax: 0, ebx: 0, ecx: 2, edx: index });
      assert.deepEqual(leaf(leaves, 0x1f, 1), { ...leaf(leaves, 0xb, 1), function: 0x1f });
      const sizes = leaf(leaves, 0x8000_0008);
      assert.deepEqual([sizes.ecx & 0xff, sizes.ecx >>> 12 & 0xf, sizes.eax], [count - 1, idBits, 0x3030]);
      const amd = leaf(leaves, 0x8000_001e);
      assert.deepEqual([amd.eax, amd.ebx & 0xff, amd.ecx], [index, index, 5]);
      assert.deepEqual(leaf(leaves, 0), leaf(decode(HOST), 0));
    }
  });
}

Deno.test("more cores than the old leaf can tell do not look like fewer", () => {
  const leaves = decode(cpuidOf(HOST, 99, 100));
  assert.equal(leaf(leaves, 4).eax >>> 26, 63);
  assert.deepEqual([leaf(leaves, 0xb, 1).ebx, leaf(leaves, 0xb, 1).eax], [100, 7]);
});

Deno.test("the table that KVM gave is not changed", () => {
  const before = HOST.slice();
  cpuidOf(HOST, 3, 4);
  assert.deepEqual(HOST, before);
});

Deno.test("the width of addresses comes from its leaf, and is that of PAE without it", () => {
  assert.equal(physicalAddressBits(HOST), 48);
  assert.equal(physicalAddressBits(encode([{ function: 0 }])), 36);
});
